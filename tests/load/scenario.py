"""A scenario: the rows of a table, what is measured of each, the columns, and the goals."""

import os
from pathlib import Path

from process import LOAD_CORE, PROXY_CORE, Failed
from programs import Load, start_mock
from table import Column

CORES = tuple(f"cpu{core} " for core in (PROXY_CORE, LOAD_CORE))


class Goal:
    """A bound for a row's metric: at most, or at least, so much; or so many times that of another row; or so much `over`
    another's."""

    def __init__(self, metric, most=None, least=None, of=None, over=None, unit=""):
        self.metric, self.most, self.least, self.of, self.over, self.unit = metric, most, least, of, over, unit

    def value(self, row, table):
        if self.of:
            return table.ratio(row, self.of, self.metric)
        if self.over:
            return table.difference(row, self.over, self.metric)
        return table.median(row, self.metric)

    def is_met(self, row, table):
        value = self.value(row, table)
        return value <= self.most if self.most is not None else value >= self.least

    def text(self, row, table):
        sign, bound = ("≤", self.most) if self.most is not None else ("≥", self.least)
        beside = f" × {self.of}" if self.of else f" over {self.over}" if self.over else ""
        answer = "met" if self.is_met(row, table) else "MISSED"
        return f"{self.metric} {sign} {bound:,g}{self.unit}{beside}: {answer}"


class Scenario:
    """Requests in a closed loop: every connection asks again once it was answered."""

    columns = [
        Column.median("req/s", "rps"),
        Column.median("p50", "p50", 7),
        Column.median("p99", "p99"),
        Column.median("p99.9", "p999"),
        Column.cpu("CPU µs"),
        Column.spread("(from–to)", "cpu"),
    ]
    beside = [("× direct", "direct"), ("× nginx", "nginx")]
    # rounds of its own, where more or fewer make sense
    rounds = None

    def __init__(self, name, title, rows, goals=None, mock=(), load=(), warm="run 0.3"):
        self.name, self.title, self.rows, self.goals = name, title, rows, goals or {}
        self.mock, self.load, self.warm = list(mock), list(load), warm

    def all_columns(self):
        """With the ratios: to what stands beside each row."""
        ratios = [
            Column.ratio(title, "cpu", {row.name: row.beside.get(title, other) for row in self.rows})
            for title, other in self.beside
        ]
        return [*self.columns, *ratios, Column.median("RSS MB", "rss", 7, "{:.1f}")]

    def prepare(self, place, options):
        """What must be known before the first round."""

    def measure(self, row, place, seconds):
        """Starts everything, warms it, and measures a run: metrics by name."""
        mock, running, load = self.start(row, place)
        load.tell(row.warm or self.warm)
        return observe(mock, running, load, f"run {seconds}", row.is_alone)

    def start(self, row, place):
        """The mock, the proxy in front of it, and the clients in front of that."""
        mock = start_mock(place, [*self.mock, *row.mock])
        running = row.start(place, mock)
        return mock, running, Load(place, running, [*self.load, *row.load])


def observe(mock, running, load, command, is_alone=False):
    """Has the load do something, and looks at the proxy before and after. `is_alone`: its children do not count."""
    processes = {process.child.pid: process for process in (mock.process, running.process, load.process)}.values()

    def times():
        """Of the proxy, and of whatever is none of ours."""
        return running.process.cpu_micros(is_alone), busy() - sum(process.cpu_micros() for process in processes)

    called, before = int(mock.get("/count")), times()
    seen = load.tell(command)
    cpu, foreign = (now - then for now, then in zip(times(), before))
    called = int(mock.get("/count")) - called
    # the child of a stdio server counts for itself
    if called != seen["calls"] and not is_alone:
        raise Failed(f"{seen['calls']:,} calls were answered, {called:,} came to the server")
    noise = foreign / 1e6 / seen["seconds"]
    return {**seen, "cpu": cpu / seen["requests"], "rss": running.process.rss_bytes() / 1e6, "noise": noise}


def busy():
    """µs that the two cores worked."""
    cores = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith(CORES)]
    # all but `idle` and `iowait`; `guest` is in `user`
    ticks = sum(int(ticks) for core in cores for ticks in [*core[1:4], *core[6:9]])
    return ticks * 1e6 / os.sysconf("SC_CLK_TCK")
