"""Memory over very many requests: it must not grow."""

from programs import Sluice
from scenario import Goal, Scenario, observe
from table import Column

SHORT, LONG = 200_000, 10_000_000
STEPS = 10


class Flat(Scenario):
    """Resident memory after each tenth of all requests."""

    columns = [
        Column.median("requests", "count", 10),
        Column.median("req/s", "rps"),
        Column.cpu("CPU µs"),
        Column.median("RSS MB at first", "first", 15, "{:.1f}"),
        Column.median("at last", "last", 8, "{:.1f}"),
        Column.median("most", "most", 8, "{:.1f}"),
        Column.median("grown", "grown", 8, "{:+.2f}"),
    ]
    rounds = 1

    def __init__(self, name, title, rows):
        goals = {row.name: [Goal("grown", most=0.5, unit=" MB")] for row in rows if isinstance(row, Sluice)}
        super().__init__(name, title, rows, goals)
        self.requests = SHORT

    def all_columns(self):
        return self.columns

    def prepare(self, place, options):
        self.requests = LONG if options.long else SHORT

    def measure(self, row, place, seconds):
        mock, running, load = self.start(row, place)
        load.tell(self.warm)
        steps = [observe(mock, running, load, f"requests {self.requests // STEPS}") for _ in range(STEPS)]
        sizes = [step["rss"] for step in steps]
        return {
            **steps[-1],
            "count": self.requests,
            "first": sizes[0],
            "last": sizes[-1],
            "most": max(sizes),
            "grown": sizes[-1] - sizes[0],
        }
