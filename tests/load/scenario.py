"""What is measured: each scenario with the ends' arguments, its rows, and the goals it is held against."""

from programs import DOOR, Direct, Peer, Sluice

PEERS = ["nginx", "haproxy"]


class Goal:
    """A bound for a row: a metric, at most (or at least) so many times that of another row, or so much."""

    def __init__(self, metric, most=None, least=None, of=None):
        self.metric, self.most, self.least, self.of = metric, most, least, of

    def value(self, row, table):
        return table.ratio(row, self.of, self.metric) if self.of else table.median(row, self.metric)

    def is_met(self, row, table):
        value = self.value(row, table)
        return value <= self.most if self.most is not None else value >= self.least

    def text(self, row, table):
        sign, bound = ("≤", self.most) if self.most is not None else ("≥", self.least)
        beside = f" × {self.of}" if self.of else ""
        answer = "met" if self.is_met(row, table) else "MISSED"
        return f"{self.metric} {sign} {bound:g}{beside}: {answer}"


class Scenario:
    """A table. `rows` are proxies in the order of its lines; `goals`: of rows, by name."""

    def __init__(self, name, title, rows, goals, mock=(), load=(), warm="run 0.3"):
        self.name, self.title, self.rows, self.goals = name, title, rows, goals
        self.mock, self.load, self.warm = list(mock), list(load), warm


def usual(*sluices):
    """The rows beside which Sluice stands."""
    return [Direct(), *map(Peer, PEERS), *sluices]


def cpu(most, *names):
    return {name: [Goal("cpu", most=most, of="nginx")] for name in names}


FULL = "sluice, key and log"


def scenarios():
    """All of them, the default ones first."""
    calls = usual(Sluice(), Sluice(FULL, key=True, log=True))
    lists = usual(Sluice(), Sluice("sluice, all servers", path="/mcp"))
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
            "list100",
            "tools/list, 100 tools (47 KB), 16 connections",
            lists,
            cpu(0.6, "sluice", "sluice, all servers"),
            mock=["--tools", "100"],
            load=["--list", "100"],
        ),
    ]
