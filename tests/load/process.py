"""A process of ours: started on a core, measured, ended by its id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROXY_CORE, LOAD_CORE = "0", "1"


class Failed(Exception):
    """What stops the measurement, in a sentence."""


class Process:
    """A process with its children; what it says goes to `log`."""

    def __init__(self, command, core, log):
        self.log = log
        with open(log, "wb") as out:
            self.child = subprocess.Popen(["taskset", "-c", core, *command], stdout=out, stderr=out)

    def ids(self):
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return [self.child.pid, *map(int, children)]

    def cpu_micros(self):
        """User and system time so far."""
        return sum(self.times())

    def times(self):
        """The two apart."""
        stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.ids())
        ticks = zip(*((int(fields[11]), int(fields[12])) for fields in stats))
        return [sum(each) * 1_000_000 / os.sysconf("SC_CLK_TCK") for each in ticks]

    def rss_bytes(self):
        """Of the largest: an nginx worker, not its master."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.ids())
        return max(pages) * os.sysconf("SC_PAGE_SIZE")

    def sockets(self):
        """How many it has open."""
        return sum(map(is_socket, Path(f"/proc/{self.child.pid}/fd").iterdir()))

    def wait_for(self, port):
        """Until it listens there."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.child.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise Failed(f"nothing listens on {port}:\n{Path(self.log).read_text()}")

    def stop(self):
        if self.child.poll() is not None:
            return
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


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
