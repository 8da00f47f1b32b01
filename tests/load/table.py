"""Medians of all rounds, as a table."""

import statistics

HEAD = ["", "req/s", "p50", "p99", "p99.9", "CPU µs", "(from–to)", "× direct", "× nginx", "RSS MB", "goal"]
WIDTH = [20, 8, 7, 8, 8, 8, 15, 8, 8, 7, 0]


class Table:
    """What each row measured, round by round: dictionaries of metrics."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.rounds = {row.name: [] for row in scenario.rows}

    def add(self, row, metrics):
        self.rounds[row.name].append(metrics)

    def median(self, name, metric):
        return statistics.median(metrics[metric] for metrics in self.rounds[name])

    def ratio(self, name, other, metric):
        """Of each round, because neighbours in time are what can be compared; the median."""
        pairs = zip(self.rounds[name], self.rounds[other])
        return statistics.median(mine[metric] / theirs[metric] for mine, theirs in pairs)

    def missed(self):
        """Goals that are not met: how many."""
        return sum(not goal.is_met(name, self) for name, goals in self.scenario.goals.items() for goal in goals)

    def show(self):
        print(f"\n{self.scenario.name}: {self.scenario.title}")
        print(line(HEAD))
        for row in self.scenario.rows:
            print(line(self.cells(row.name)), flush=True)

    def cells(self, name):
        cpus = [metrics["cpu"] for metrics in self.rounds[name]]
        noise = "~" if any(metrics["noise"] > 0.1 for metrics in self.rounds[name]) else ""
        yield name
        yield f"{self.median(name, 'rps'):,.0f}"
        for metric in ("p50", "p99", "p999"):
            yield f"{self.median(name, metric):,.0f}"
        yield noise + number(statistics.median(cpus))
        yield f"({number(min(cpus))}–{number(max(cpus))})"
        for other in ("direct", "nginx"):
            yield f"{self.ratio(name, other, 'cpu'):.2f}" if other in self.rounds else ""
        yield f"{self.median(name, 'rss') / 1e6:.1f}"
        yield "; ".join(goal.text(name, self) for goal in self.scenario.goals.get(name, []))


def number(value):
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def line(cells):
    first, *rest = [f"{cell:{'<' if at in (0, len(WIDTH) - 1) else '>'}{width}}" for at, (cell, width) in enumerate(zip(cells, WIDTH))]
    return "  " + " ".join([first, *rest]).rstrip()
