"""Programs under callgrind, and what it counted: instructions, and calls of the allocator."""

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

NAMED = re.compile(r"c?fn=\((\d+)\)(?: (.*))?")


class Failed(Exception):
    """What stops the counting, in a sentence."""


class Counted(NamedTuple):
    """Per iteration, or of a whole run."""

    instructions: float
    allocations: float

    def less(self, other):
        return Counted(self.instructions - other.instructions, self.allocations - other.allocations)

    def per(self, times):
        return Counted(self.instructions / times, self.allocations / times)


def read(path):
    """What one file of callgrind's says."""
    names, function, called = {}, "", ""
    instructions = allocations = 0
    for line in path.read_text(errors="replace").splitlines():
        if named := NAMED.fullmatch(line):
            name = names.setdefault(named[1], named[2])
            # levels of recursion are told apart by a quote and a number
            name = name.partition("'")[0]
            if line.startswith("fn"):
                function = name
            else:
                called = name
        elif line.startswith("calls="):
            if ALLOCATOR.fullmatch(called) and not WITHIN.fullmatch(function):
                allocations += int(line[len("calls=") :].split()[0])
        elif line.startswith("totals:"):
            instructions = int(line.split()[1])
    return Counted(instructions, allocations)


def start(program, out, log):
    """Runs a program; its counts go to `out`, `out.1`, `out.2` …"""
    command = ["valgrind", "--quiet", "--tool=callgrind", "--dump-line=no", f"--callgrind-out-file={out}", *program]
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


def wait_until(ready, process, seconds=60):
    """Until something is so, while the process lives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.child.poll() is None:
        if ready():
            return
        time.sleep(0.05)
    raise Failed(f"the program does not come up:\n{process.said()}")
