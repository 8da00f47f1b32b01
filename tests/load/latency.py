"""Latencies at a fixed rate, counted from the moment a request was due: what a proxy adds when it is not full."""

from programs import Direct, Peer
from scenario import Goal, Scenario, observe
from table import Column

ADDED = [Goal("p50", most=60, over="direct", unit=" µs"), Goal("p99", most=250, over="direct", unit=" µs")]


class Latency(Scenario):
    """An open loop."""

    columns = [
        Column.median("req/s", "rps"),
        Column.median("p50", "p50", 7),
        Column.median("p99", "p99"),
        Column.median("p99.9", "p999"),
        Column.added("+ p50", "p50", "direct"),
        Column.added("+ p99", "p99", "direct"),
        Column.cpu("CPU µs"),
        Column.spread("(from–to)", "cpu"),
    ]

    def __init__(self, name, title, rows, rate=None):
        self.rate = rate
        goals = {row.name: ADDED for row in rows if not isinstance(row, (Direct, Peer))}
        super().__init__(name, title, rows, goals, load=["--connections", "64"])

    def prepare(self, place, options):
        """Where no rate is given: half of what nginx reaches here and now."""
        if self.rate is None:
            self.rate = super().measure(Peer("nginx"), place, options.seconds)["rps"] / 2

    def measure(self, row, place, seconds):
        mock, running, load = self.start(row, place)
        load.tell(self.warm)
        return observe(mock, running, load, f"rate {self.rate:.0f} {seconds}")
