"""Loopback of our own where that may be, free ports, and one request on a connection of its own."""

import fcntl
import http.client
import os
import platform
import re
import socket
import struct
import sys
from pathlib import Path
from typing import NamedTuple

from process import Failed


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
    print(f"{platform.system()} {platform.release()}, {control.read_text().strip()} on loopback")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(port, path, headers, body):
    """The bytes of a POST."""
    head = {
        "Host": f"127.0.0.1:{port}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **headers,
        "Content-Length": len(body),
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", body]).encode()


class Answer(NamedTuple):
    """What came back; `size`: bytes on the wire, head included."""

    session: str | None
    body: bytes
    size: int


def exchange(port, request, timeout=5):
    """Sends a request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read()
        if response.status not in (200, 202):
            raise Failed(f"port {port} says {response.status}\n{body.decode(errors='replace')}")
        # status line and empty line; `name: value` and the end of each line
        head = len("HTTP/1.1 200 OK\r\n\r\n") + sum(len(name) + len(value) + 4 for name, value in response.getheaders())
        return Answer(response.headers.get("Mcp-Session-Id"), body, head + len(body))


def counted(admin, method):
    """Requests of a method that Sluice itself counts as answered."""
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=5)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return sum(map(int, re.findall(rf'method="{re.escape(method)}",outcome="ok"}} (\d+)', text)))
