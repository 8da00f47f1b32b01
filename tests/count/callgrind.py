"""Programs under callgrind, and what it counted."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

# `rep movsb` is one instruction per byte to callgrind, so the C library must copy with vector loops; and where it begins
# to bypass the cache must not depend on the size of this machine's.
TUNABLES = "glibc.cpu.hwcaps=-ERMS,-FSRM:glibc.cpu.x86_non_temporal_threshold=0x1000000"

# The allocator's doors: Rust's, mimalloc's where Rust's are inlined, and the C library's.
ALLOCATOR = re.compile(
    r"__rustc::__rust_(alloc|alloc_zeroed|realloc)"
    r"|mi_(malloc|zalloc|calloc|realloc|new)\w*"
    r"|malloc|calloc|realloc|memalign|aligned_alloc|posix_memalign"
)
# What is called from one door on to the next is the same allocation.
WITHIN = re.compile(r"__rustc::\w+|_?mi_\w+|(__libc_)?(malloc|calloc|realloc|memalign|aligned_alloc|posix_memalign)")
# Reads a clock: a system call only here, because valgrind hides the kernel's quick way.
CLOCK = re.compile(r"(__)?clock_gettime\b.*")

FUNCTION = re.compile(r"(c?)fn=\((\d+)\)(?: (.*))?")
COST = re.compile(r"[-+*\d]\S* (\d+.*)")


class Failed(Exception):
    """What stops the counting, in a sentence."""


class Counted(NamedTuple):
    """Per iteration, or of a whole run."""

    instructions: float
    allocations: float
    system_calls: float
    clocks: float

    def less(self, other):
        return Counted(*(one - another for one, another in zip(self, other)))

    def times(self, factor):
        return Counted(*(each * factor for each in self))

    def least(self, other):
        return Counted(*map(min, self, other))


class Cost(NamedTuple):
    """What a function did itself, or within another that it called `calls` times."""

    function: str
    called: str | None
    calls: int
    instructions: int
    system_calls: int


def costs(path):
    """The lines of a file of callgrind's."""
    names, function, called = {}, "", ""
    lines = iter(path.read_text(errors="replace").splitlines())
    for line in lines:
        if named := FUNCTION.fullmatch(line):
            name = names.setdefault(named[2], named[3])
            function, called = (function, name) if named[1] else (name, called)
        elif line.startswith("calls="):
            calls = int(line[len("calls=") :].split()[0])
            yield Cost(function, called, calls, *numbers(next(lines)))
        elif COST.fullmatch(line):
            yield Cost(function, None, 0, *numbers(line))


def numbers(line):
    """Of the events Ir, sysCount and sysTime, the first two; zeros at the end of a line are left out."""
    instructions, system_calls, *_ = [*map(int, COST.fullmatch(line)[1].split()), 0]
    return instructions, system_calls


def read(path):
    """The sums of one file."""
    instructions = allocations = system_calls = clocks = 0
    for cost in costs(path):
        # levels of recursion are told apart by a quote and a number
        if cost.called is None:
            instructions += cost.instructions
            if CLOCK.fullmatch(cost.function):
                clocks += cost.system_calls
            else:
                system_calls += cost.system_calls
        elif ALLOCATOR.fullmatch(cost.called.partition("'")[0]) and not WITHIN.fullmatch(cost.function.partition("'")[0]):
            allocations += cost.calls
    return Counted(instructions, allocations, system_calls, clocks)


def start(program, out, log):
    """Runs a program; its counts go to `out`, `out.1`, `out.2` …"""
    command = ["valgrind", "--quiet", "--tool=callgrind", "--collect-systime=yes", f"--callgrind-out-file={out}", *program]
    with open(log, "wb") as said:
        return subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, "GLIBC_TUNABLES": TUNABLES})


def once(program, folder, name):
    """What a program counts from its start to its end."""
    out, log = folder / name, folder / f"{name}.log"
    if start(program, out, log).wait(120) != 0:
        raise Failed(f"{' '.join(map(str, program))} fails:\n{log.read_text(errors='replace')}")
    return read(out)


class Process:
    """A program that goes on, whose counts are read in between."""

    def __init__(self, program, folder):
        self.out, self.log = folder / "counts", folder / "log"
        self.child = start(program, self.out, self.log)
        self.read = 0

    def take(self):
        """What was counted since the last time. The program must be waiting."""
        self.read += 1
        done = subprocess.run(["vgdb", f"--pid={self.child.pid}", "dump"], capture_output=True, text=True, timeout=60)
        path = Path(f"{self.out}.{self.read}")
        if done.returncode != 0 or not path.exists():
            raise Failed(f"vgdb cannot reach the program:\n{done.stdout}{done.stderr}{self.said()}")
        return read(path)

    def wait_until(self, ready, seconds=60):
        """Until something is so, while the program lives."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.child.poll() is None:
            if ready():
                return
            time.sleep(0.05)
        raise Failed(f"the program does not come up:\n{self.said()}")

    def said(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
