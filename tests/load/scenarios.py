"""All scenarios, with the goals of Sluice."""

import kept
from flat import Flat
from idle import DataPlane, Idle
from latency import Latency
from memory import Memory, lines
from programs import Direct, Peer, Sluice
from scenario import Goal, Scenario

FULL = "sluice, key and log"
MERGED = "/mcp"
ALL = "sluice, all servers"
TOKEN = {"sluice, token, log and policy": 1, "sluice, token, log and 100 policies": 100}


def usual(*sluices):
    """The rows beside which Sluice stands."""
    return [Direct(), Peer("nginx"), Peer("haproxy"), *sluices]


def cpu(most, *names):
    return {name: [Goal("cpu", most=most, of="nginx")] for name in names}


def default():
    """Those of a plain `tests/load/run`."""
    full = Sluice(FULL, key=True, log=True)
    calls = usual(Sluice(), full)
    large = {"sluice": [Goal("rps", least=0.8, of="nginx")]}
    return [
        Scenario("call16", "tools/call, 16 connections, 200 B", calls, cpu(1.1, "sluice", FULL)),
        Scenario(
            "call64",
            "tools/call, 64 connections, 4 KB",
            usual(Sluice()),
            cpu(1.15, "sluice"),
            load=["--connections", "64", "--send", "4096"],
        ),
        Scenario(
            "modern",
            "tools/call of 2026-07-28, 16 connections, 200 B",
            calls,
            cpu(1.1, "sluice", FULL),
            load=["--modern"],
        ),
        Scenario(
            "sse",
            "tools/call answered by an event stream, 16 connections, 200 B",
            usual(Sluice()),
            cpu(1.2, "sluice"),
            mock=["--sse"],
        ),
        Scenario(
            "list100",
            "tools/list, 100 tools (47 KB), 16 connections; Sluice answers from what it keeps",
            usual(Sluice(), Sluice(ALL, path=MERGED)),
            cpu(0.6, "sluice", ALL),
            mock=["--tools", "100"],
            load=["--list", "100"],
        ),
        Scenario(
            "up1m",
            "tools/call with 1 MB, 4 connections",
            usual(Sluice()),
            large,
            load=["--connections", "4", "--send", str(1 << 20), "--receive", "200"],
        ),
        Scenario(
            "down1m",
            "tools/call answered by 1 MB, 4 connections",
            usual(Sluice()),
            large,
            load=["--connections", "4", "--receive", str(1 << 20)],
        ),
        Latency("latency", "tools/call, 64 connections, 200 B, at half of nginx's rate", usual(Sluice(), full)),
        Idle("idle", "what it takes to stand by", [Peer("nginx"), Peer("haproxy"), Sluice(), DataPlane("sluice-dataplane")]),
    ]


def more():
    """Those of `--all` beside them."""
    few, ten_thousand = ["--sessions", "10"], ["--sessions", "10000"]
    flat = {"× 10": "sluice, 10 sessions"}
    two = {"core": "0,1", "workers": 2}
    one = {"core": "0,1"}
    return [
        Scenario(
            "key", "as call16, an API key on every request", usual(Sluice("sluice, key", key=True)), cpu(1.1, "sluice, key")
        ),
        Scenario(
            "log", "as call16, a line of log for every request", usual(Sluice("sluice, log", log=True)), cpu(1.1, "sluice, log")
        ),
        Scenario(
            "token",
            "as call16, a JWT on every request, a line of log, and 1 and 100 policies",
            usual(*(Sluice(name, token=True, log=True, policies=count) for name, count in TOKEN.items())),
            cpu(1.1, *TOKEN),
        ),
        Beside(
            "tls",
            "as call16, clients with TLS 1.3, connections kept",
            [Peer("nginx", tls=True), Peer("haproxy", tls=True), Sluice(tls=True)],
            beside=["× nginx"],
        ),
        Beside(
            "h2",
            "tools/call, 4 connections of HTTP/2 with 16 requests each, 200 B",
            [Peer("nginx", h2=True), Peer("haproxy", h2=True), Sluice()],
            load=["--h2", "16", "--connections", "4"],
            beside=["× nginx"],
        ),
        Scenario(
            "list10000",
            "tools/list, 10,000 tools on one page (4.7 MB), 4 connections; the merged door answers from what it keeps",
            usual(Sluice(), Sluice(ALL, path=MERGED)),
            mock=["--tools", "10000", "--page", "10000"],
            load=["--list", "10000", "--connections", "4"],
        ),
        Beside(
            "sessions",
            "tools/call, 200 B, sessions in turn",
            [
                Peer("nginx", "nginx, 10,000 sessions", load=ten_thousand),
                Sluice("sluice, 10 sessions", load=few),
                Sluice("sluice, 10,000 sessions", load=ten_thousand, beside=flat, warm="requests 20000"),
            ],
            {"sluice, 10,000 sessions": [Goal("cpu", most=1.1, of="sluice, 10 sessions")]},
            beside=["× 10"],
        ),
        *merged(),
        Beside(
            "stdio",
            "tools/call, 200 B, one stdio server shared by 1,000 clients; CPU without the child",
            [Sluice(stdio=True, load=["--sessions", "1000", "--connections", "64"], warm="requests 5000")],
            {"sluice": [Goal("cpu", most=50, unit=" µs")]},
        ),
        Beside(
            "workers",
            "as call64, proxy, mock and load on both cores",
            [
                Peer("nginx", "nginx, 1 worker", **one),
                Peer("nginx", "nginx, 2 workers", beside={"× 1": "nginx, 1 worker"}, **two),
                Sluice("sluice, 1 worker", **one),
                Sluice("sluice, 2 workers", beside={"× 1": "sluice, 1 worker"}, **two),
            ],
            load=["--connections", "64", "--send", "4096"],
            beside=["× 1"],
        ),
        Latency("latency5000", "tools/call, 64 connections, 200 B, 5,000 requests/s", usual(Sluice()), rate=5000),
        Memory("memory", "the merged door: what each costs in resident memory", lines()),
        kept.table(),
        Flat("flat", "tools/call, 16 connections, 200 B, for long", [Peer("nginx"), Sluice()]),
    ]


class Beside(Scenario):
    """A closed loop whose rows are held against each other, by columns of these titles: against the row that each says, or
    nginx."""

    def __init__(self, *what, beside=(), **how):
        super().__init__(*what, **how)
        self.beside = [(title, title.removeprefix("× ")) for title in beside]


def merged():
    """All servers as one: by their number, beside a server's own door."""

    def row(name, servers, path, called=None, first=0, one=None, door=None, **how):
        called = servers if called is None else called
        tool = "s{s}_tool_{t}" if path == MERGED else "tool_{t}"
        load = ["--servers", called, "--first", first, "--tools", 10, "--tool", tool, *how.pop("load", [])]
        # so that every server, tool and connection was met
        warm = "requests 3000" if called == 1 else "requests 25000"
        beside = {"× 1 server": one, "× own door": door}
        mock = ["--servers", servers, *how.pop("mock", [])]
        return Sluice(name, path, servers, load=load, mock=mock, warm=warm, beside=beside, **how)

    own, one = "own door, 1 server", "merged, 1 server"
    own_one, own_all = "own door, 1 of 1,000", "own doors, all of 1,000"
    rows = [
        row(own, 1, "/servers/s{s}/mcp"),
        row(one, 1, MERGED, door=own),
        row("merged, 1 server of 10,000 tools", 1, MERGED, one=one, mock=["--tools", "10000"]),
        row("merged, 10 servers", 10, MERGED, one=one),
        row(own_one, 1000, "/servers/s{s}/mcp", 1, 500, one=own),
        row("merged, 1 of 1,000", 1000, MERGED, 1, 500, one=one, door=own_one),
        row(own_all, 1000, "/servers/s{s}/mcp", one=own),
        row("merged, all of 1,000", 1000, MERGED, one=one, door=own_all),
    ]
    columns = ["× 1 server", "× own door"]
    grown = [row.name for row in rows if row.beside["× 1 server"] == one and "all" not in row.name]
    goals = {name: [Goal("cpu", most=1.1, of=one)] for name in grown}
    title = "tools/call, 200 B, 16 connections, all servers behind one door"
    return [
        merged_lists(),
        Beside("merged", title, rows, goals, beside=columns),
        Beside("merged-modern", f"{title}, 2026-07-28", rows, goals, load=["--modern"], beside=columns),
    ]


def merged_lists():
    """The list of all servers' tools, beside that of a server's own door."""

    def row(name, servers, path, **beside):
        warm = ["--list", 10 * servers, "--patience", 30]
        return Sluice(name, path, servers, load=warm, mock=["--servers", servers], warm="requests 50", beside=beside)

    own, one = "own door, 10 tools", "merged, 10 tools"
    rows = [
        row(own, 1, "/servers/s0/mcp"),
        row(one, 1, MERGED, **{"× own door": own}),
        row("merged, 10 servers, 100 tools", 10, MERGED, **{"× 1 server": one}),
        row("merged, 1,000 servers, 10,000 tools", 1000, MERGED, **{"× 1 server": one}),
    ]
    title = "tools/list, 4 connections, all servers behind one door"
    return Beside("merged-list", title, rows, load=["--connections", "4"], beside=["× 1 server", "× own door"])
