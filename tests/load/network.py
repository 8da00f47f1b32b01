"""Loopback of our own where that may be, and free ports."""

import fcntl
import os
import platform
import socket
import struct
import sys
from pathlib import Path


def isolate():
    """Goes on in a network of our own, where this may be made: loopback with Reno, whatever the machine's choice is.
    BBR paces small requests by the round trips it saw, which measures nothing but itself."""
    marker = "SLUICE_LOAD_ISOLATED"
    if marker not in os.environ and os.geteuid() == 0:
        os.environ[marker] = "yes"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    control = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    if marker in os.environ:
        with socket.socket() as probe:
            # SIOCSIFFLAGS: lo is IFF_UP
            fcntl.ioctl(probe, 0x8914, struct.pack("16sH14x", b"lo", 1))
        control.write_text("reno")
        # what the kernel learned from the connections of one proxy would begin those of the next
        Path("/proc/sys/net/ipv4/tcp_no_metrics_save").write_text("1")
    print(f"{platform.system()} {platform.release()}, {control.read_text().strip()} on loopback")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
