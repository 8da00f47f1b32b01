"""What was measured, round by round, and how it is shown: medians."""

import statistics

# more foreign work than this share of a core makes a figure doubtful
NOISE = 0.1


class Table:
    """Metrics of each row, round by round."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.rounds = {row.name: [] for row in scenario.rows}

    def add(self, row, metrics):
        self.rounds[row.name].append(metrics)

    def values(self, name, metric):
        return [metrics[metric] for metrics in self.rounds[name]]

    def median(self, name, metric):
        return statistics.median(self.values(name, metric))

    def ratio(self, name, other, metric):
        """Of each round, because neighbours in time are what can be compared; the median."""
        pairs = zip(self.values(name, metric), self.values(other, metric))
        return statistics.median(mine / theirs for mine, theirs in pairs)

    def difference(self, name, other, metric):
        """Likewise."""
        pairs = zip(self.values(name, metric), self.values(other, metric))
        return statistics.median(mine - theirs for mine, theirs in pairs)

    def is_noisy(self, name):
        return any(metrics.get("noise", 0) > NOISE for metrics in self.rounds[name])

    def missed(self):
        """Goals that are not met: how many."""
        return sum(not goal.is_met(name, self) for name, goals in self.scenario.goals.items() for goal in goals)

    def show(self):
        columns = self.scenario.all_columns()
        names = max(map(len, self.rounds))
        print(f"\n{self.scenario.name}: {self.scenario.title}")
        print(" ".join(["", f"{'':{names}}", *(f"{column.title:>{column.width}}" for column in columns), "goal"]))
        for name in self.rounds:
            cells = (f"{column.cell(self, name):>{column.width}}" for column in columns)
            goals = "; ".join(goal.text(name, self) for goal in self.scenario.goals.get(name, []))
            print(" ".join(["", f"{name:{names}}", *cells, goals]).rstrip(), flush=True)


class Column:
    """`cell(table, name)`: what stands there in a row."""

    def __init__(self, title, width, cell):
        self.title, self.width, self.cell = title, width, cell

    @classmethod
    def median(cls, title, metric, width=8, form="{:,.0f}"):
        def cell(table, name):
            is_there = all(metric in metrics for metrics in table.rounds[name])
            return form.format(table.median(name, metric)) if is_there else ""

        return cls(title, width, cell)

    @classmethod
    def cpu(cls, title):
        """Marked where it may be wrong."""
        mark = lambda table, name: "~" if table.is_noisy(name) else ""
        return cls(title, 8, lambda table, name: mark(table, name) + number(table.median(name, "cpu")))

    @classmethod
    def spread(cls, title, metric, width=15):
        def cell(table, name):
            values = table.values(name, metric)
            return f"({number(min(values))}–{number(max(values))})"

        return cls(title, width, cell)

    @classmethod
    def ratio(cls, title, metric, others):
        """`others`: what each row is held against, by name."""

        def cell(table, name):
            other = others.get(name)
            return f"{table.ratio(name, other, metric):.2f}" if other in table.rounds else ""

        return cls(title, max(8, len(title)), cell)

    @classmethod
    def added(cls, title, metric, other, width=8):
        """What is more than in another row."""

        def cell(table, name):
            return f"{table.difference(name, other, metric):+,.0f}" if other in table.rounds else ""

        return cls(title, width, cell)


def number(value):
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
