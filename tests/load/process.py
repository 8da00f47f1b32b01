"""A process of ours: started on a core, measured, ended by its id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROXY_CORE, LOAD_CORE = "0", "1"
# before whatever else the machine does meanwhile
NICE = -15


class Failed(Exception):
    """What stops the measurement, in a sentence."""


class Process:
    """A process with its children; what it says goes to `log`."""

    def __init__(self, command, core, log, env=None, **pipes):
        self.log = log
        with open(log, "wb") as out:
            command = ["taskset", "-c", core, *map(str, command)]
            given = {"stdout": out, "stderr": out, **pipes}
            # a group of its own, so that its end is the end of its children
            self.child = subprocess.Popen(command, env={**os.environ, **(env or {})}, start_new_session=True, **given)
        take_precedence(self.child.pid)

    def ids(self):
        """Itself, and all children of children."""
        found, look = [], [self.child.pid]
        while look:
            pid = look.pop()
            found.append(pid)
            for thread in Path(f"/proc/{pid}/task").iterdir():
                look += map(int, (thread / "children").read_text().split())
        return found

    def cpu_micros(self, alone=False):
        """User and system time so far, to the nanosecond, of threads that ended as well: the clock that
        clock_getcpuclockid(3) names. `alone`: without children."""
        pids = [self.child.pid] if alone else self.ids()
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids) * 1e6

    def rss_bytes(self):
        """Of the largest: an nginx worker, not its master."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.ids())
        return max(pages) * os.sysconf("SC_PAGE_SIZE")

    def sockets(self):
        """How many it has open."""
        return sum(map(is_socket, Path(f"/proc/{self.child.pid}/fd").iterdir()))

    def said(self):
        return Path(self.log).read_text(errors="replace").strip()

    def wait_for(self, port, seconds=10):
        """Until it listens there."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.child.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.002)
        raise Failed(f"nothing listens on {port}:\n{self.said()}")

    def end(self, seconds=10):
        """Asked, and waited for: what it writes as it ends is written."""
        self.child.terminate()
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired as expired:
            raise Failed(f"does not end:\n{self.said()}") from expired

    def stop(self):
        """At once: nothing it holds is needed any more."""
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()


def take_precedence(pid):
    """Over other work on these cores, where that is allowed: as a process, and as the group of a session."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))
    except OSError:
        pass  # a machine of others, or without such groups: `~` tells what they did


def is_socket(descriptor):
    try:
        return os.readlink(descriptor).startswith("socket:")
    except FileNotFoundError:
        return False  # closed meanwhile


def install_missing(packages):
    """Programs by the packages that have them, with apt."""
    os.environ["PATH"] += ":/usr/sbin"
    missing = [package for program, package in packages.items() if shutil.which(program) is None]
    if missing:
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
        command = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qq", "-y"]
        subprocess.run([*command, "--no-install-recommends", *missing], check=True, stdout=subprocess.DEVNULL)
