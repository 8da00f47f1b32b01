"""What servers, tools and sessions of the merged door cost in resident memory: what the process has more after than before."""

import http.client
import time

from process import Failed
from programs import Load, Row, Sluice, start_mock
from scenario import Scenario
from table import Column

SERVERS, TOOLS, SESSIONS = 1000, 10_000, 1000
MERGED = "/mcp"
# an allocator gives back what was not used for a second or so; connections to servers are kept for 4 s
UNCHANGED, SETTLES = 1.5, 20
# the first answer of many servers waits for the slowest
PATIENCE = ["--patience", "30"]


class Memory(Scenario):
    """Each row is a measurement of its own, on a gateway of its own."""

    columns = [Column.median("KB", "kilobytes", 8, "{:.2f}")]
    rounds = 1

    def all_columns(self):
        return self.columns

    def measure(self, row, place, seconds):
        return {"kilobytes": row.measure(place) / 1024}


class Line(Row):
    """`measure(place)`: bytes."""

    def __init__(self, name, measure):
        super().__init__(name)
        self.measure = measure


def lines():
    return [
        Line("a server that is configured, never used", configured),
        Line("a server whose 10 tools were listed, more", listed),
        Line("1,000 tools of one server", tools),
        Line("a session of the merged door, never used", lambda place: sessions(place, 0, [])),
        Line("the same, each used one of 10 servers", lambda place: sessions(place, SESSIONS, [])),
        Line("the same, never used, with an open stream", lambda place: sessions(place, 0, ["--streams"])),
    ]


def start(place, servers, *mock):
    return Sluice(path=MERGED, servers=servers).start(place, start_mock(place, ["--servers", str(servers), *mock]))


def configured(place):
    few, many = (settled(start(place, servers)) for servers in (1, SERVERS))
    return (many - few) / (SERVERS - 1)


def listed(place):
    running = start(place, SERVERS)
    before = settled(running)
    sockets = running.process.sockets()
    list_once(place, running, 10 * SERVERS)
    return (settled(running, sockets + 8) - before) / SERVERS


def tools(place):
    running = start(place, 1, "--tools", str(TOOLS))
    before = settled(running)
    list_once(place, running, TOOLS)
    return (settled(running) - before) / (TOOLS / 1000)


def list_once(place, running, count):
    """What is there is known then, and was written once."""
    Load(place, running, ["--connections", "1", "--list", str(count), *PATIENCE]).tell("requests 1")


def sessions(place, calls, how):
    """Of each session. The first thousand fill what was freed before; what is known of servers is known then."""
    running = start(place, 10)
    which = ["--sessions", str(SESSIONS), "--servers", "10", "--tool", "s{s}_tool_{t}", *PATIENCE]
    Load(place, running, which).tell(f"requests {SESSIONS}")
    sockets = running.process.sockets()
    before = settled(running, sockets)
    load = Load(place, running, [*which, *how])
    if calls:
        load.tell(f"requests {calls}")
    # two connections for each stream: the client's, and the one to the server
    more = 2 * SESSIONS if how else 0
    after = settled(running, sockets + more + 16)
    if how:
        load.tell("streams")
    return (after - before) / SESSIONS


def settled(running, sockets=None):
    """Resident bytes, once they stay the same for a while, and no more than so many sockets are open. Requests that keep
    nothing go through meanwhile, because allocators give pages back while they are at work, never in their sleep."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    deadline, before, since = time.monotonic() + SETTLES, 0, time.monotonic()
    while time.monotonic() < deadline:
        for _ in range(20):
            connection.request("GET", "/health")
            connection.getresponse().read()
        now = running.process.rss_bytes()
        is_open = sockets is not None and running.process.sockets() > sockets
        # a page or two come and go with what is asked
        if abs(now - before) > 64 << 10 or is_open:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > UNCHANGED:
            connection.close()
            return now
        time.sleep(0.02)
    raise Failed(f"memory does not settle: {running.process.sockets()} sockets")
