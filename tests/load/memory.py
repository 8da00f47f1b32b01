"""What tools, servers, sessions and streams cost in resident memory: what the process has more after than before."""

import http.client
import time

from gateway import MERGED, Gateway
from messages import LEGACY
from network import free_port
from process import LOAD_CORE, Failed, Process

SERVERS, SESSIONS, TOOLS = 1000, 1000, 10_000
# connections to servers are kept for 4 s
SETTLES = 20
# the allocator gives back what was not used for a second or two
UNCHANGED = 3


class Book:
    """Resident bytes of one gateway, step by step."""

    def __init__(self, options, folder, mock, servers, started):
        self.gateway = Gateway(options.binary, folder / f"memory-{len(started)}", mock, servers)
        self.process = self.gateway.process
        started.append(self.process)
        self.process.wait_for(self.gateway.port)
        self.stirring = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=5)
        self.bytes = self.settled()
        self.sockets = self.process.sockets()

    def settled(self, sockets=None):
        """Resident bytes once they stay the same for a while, and no more than so many sockets are open."""
        deadline, before, since = time.monotonic() + SETTLES, 0, time.monotonic()
        while time.monotonic() < deadline:
            self.stir()
            now = self.process.rss_bytes()
            # a page or two come and go with what is asked meanwhile
            if abs(now - before) > 64 << 10 or sockets is not None and self.process.sockets() > sockets:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > UNCHANGED:
                return now
            time.sleep(0.01)
        return self.process.rss_bytes()

    def stir(self):
        """Requests that keep nothing: an allocator gives pages back while it is at work, never in its sleep."""
        for _ in range(20):
            self.stirring.request("GET", "/health")
            self.stirring.getresponse().read()

    def step(self, name, per, unit, sockets=None):
        """Prints what came since the last step, for each of `per`; `sockets`: how many more than at first may stay."""
        now = self.settled(None if sockets is None else self.sockets + sockets)
        print(f"  {name:60} {(now - self.bytes) / 1024 / per:9.1f} KB per {unit}")
        self.bytes = now


def show(options, folder, mock, started):
    """`mock`: where 1,000 servers of 10 tools are."""
    print("\nmemory")
    one = Book(options, folder, mock, 1, started)
    print(f"  {'one server, nothing used':60} {one.bytes / 1024:9,.0f} KB")
    servers(options, folder, mock, started, one.bytes)
    one.process.stop()
    tools(options, folder, started)
    sessions(options, folder, mock, started)


def servers(options, folder, mock, started, before):
    """`before`: resident bytes with one server."""
    many = Book(options, folder, mock, SERVERS, started)
    many.bytes = before
    many.step(f"{SERVERS:,} servers configured, never used", SERVERS, "server")
    session = many.gateway.open()
    listed = many.gateway.tools(MERGED, session)
    if len(set(listed)) != 10 * SERVERS:
        raise Failed(f"{len(set(listed))} tools of {SERVERS} servers")
    many.step("more, once listed (10 tools each), connections closed", SERVERS, "server", sockets=8)
    many.process.stop()


def tools(options, folder, started):
    mock = free_port()
    command = [options.mock, "--listen", f"127.0.0.1:{mock}", "--servers", "1", "--tools", str(TOOLS)]
    started.append(Process(command, LOAD_CORE, folder / "mock-tools"))
    started[-1].wait_for(mock)
    book = Book(options, folder, mock, 1, started)
    session = book.gateway.open()
    if len(set(book.gateway.tools(MERGED, session))) != TOOLS:
        raise Failed(f"not {TOOLS} tools")
    book.step(f"one server's {TOOLS:,} tools, listed once", TOOLS / 1000, "1,000 tools", sockets=8)
    book.process.stop()


def sessions(options, folder, mock, started):
    """Sessions of the merged door with ten servers, whose lists are known."""
    book = Book(options, folder, mock, 10, started)
    gateway = book.gateway
    gateway.tools(MERGED, gateway.open())
    # the first ones fill what was freed before
    for _ in range(SESSIONS):
        gateway.open()
    book.bytes = book.settled(book.sockets + 8)
    opened = [gateway.open() for _ in range(SESSIONS)]
    book.step(f"{SESSIONS:,} more sessions, nothing used", SESSIONS, "session", sockets=8)
    for at, session in enumerate(opened):
        gateway.result(gateway.call(MERGED, at % 10, 0, session))
    book.step("more, once each used one server", SESSIONS, "session", sockets=8)
    streams = [stream(gateway.port, session) for session in opened]
    # towards the client, and to the server
    deadline = time.monotonic() + SETTLES
    while book.process.sockets() < book.sockets + 2 * SESSIONS:
        if time.monotonic() > deadline:
            raise Failed(f"{book.process.sockets() - book.sockets} sockets for {SESSIONS} streams")
        time.sleep(0.05)
    book.step("more, with an open stream each (two connections)", SESSIONS, "session")
    for connection in streams:
        connection.close()
    book.process.stop()


def stream(port, session):
    """A session's standalone stream, its head read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Accept": "text/event-stream", "MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": session}
    connection.request("GET", MERGED, headers=headers)
    # kept beside it: a response that is dropped closes its connection
    connection.response = connection.getresponse()
    if connection.response.status != 200:
        raise Failed(f"a stream is answered {connection.response.status}")
    return connection
