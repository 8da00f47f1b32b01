"""What it takes to stand by: time to start, memory with nothing to do, and for sessions and streams that nobody uses."""

import resource
import time

from memory import settled
from planes import ControlPlane, Node
from programs import Load, Running, Sluice, start_mock
from process import Failed
from scenario import Goal, Scenario
from table import Column

SESSIONS = 10_000
STREAMS = (1_000, 10_000)
# descriptors a proxy needs beside two for each stream
OTHER_DESCRIPTORS = 500


class DataPlane(Sluice):
    """A node beside its control plane, which is another process: what stands where nginx would."""

    def start(self, place, mock):
        programs = place.programs.sluice.parent
        room = place.room("planes")
        control = ControlPlane(program(programs, "sluice-controlplane"), room)
        place.started.append(control.process)
        url = f"http://127.0.0.1:{mock.port}/servers/s0/mcp"
        limits = {"sessions_per_principal": 1_000_000}
        proxy = {"kind": "proxy", "name": "proxy", "spec": {"log_level": "warn", "access_log": False, "limits": limits}}
        control.apply([proxy, {"kind": "server", "name": "s0", "spec": {"url": url}}])
        began = time.monotonic()
        node = Node(program(programs, "sluice-dataplane"), room, "node", control, self.core, self.workers)
        place.started.append(node.process)
        node.serves()
        running = Running(node.process, node.port)
        # joining its fleet included
        running.began = began
        return running


def program(folder, name):
    """One of those beside `sluice`."""
    path = folder / name
    if not path.exists():
        raise Failed(f"there is no {path}: build it with the profile of the `sluice` beside it")
    return path


class Idle(Scenario):
    """Each round starts a proxy, reads its memory, opens sessions, and streams in another process."""

    columns = [
        Column.median("start ms", "start"),
        Column.median("RSS MB", "rss", 8, "{:.1f}"),
        Column.median("KB/session", "session", 10, "{:.2f}"),
        Column.median("KB/stream, 1,000", "stream-1000", 16, "{:.1f}"),
        Column.median("10,000", "stream-10000", 8, "{:.1f}"),
    ]
    rounds = 1

    def __init__(self, name, title, rows):
        goals = [
            Goal("start", most=100, unit=" ms"),
            Goal("rss", most=15, unit=" MB"),
            Goal("session", most=1, unit=" KB"),
            Goal("stream-10000", most=16, unit=" KB"),
        ]
        super().__init__(name, title, rows, {row.name: goals for row in rows if isinstance(row, Sluice)})

    def all_columns(self):
        return self.columns

    def measure(self, row, place, seconds):
        metrics = {"start": self.start_millis(row, place)}
        mock = start_mock(place, self.mock)
        running = row.start(place, mock)
        metrics["rss"] = settled(running) / 1e6
        metrics["session"], = self.kilobytes(row, place, [SESSIONS])
        counts = map(within_limits, STREAMS)
        metrics["stream-1000"], metrics["stream-10000"] = self.kilobytes(row, place, counts, "--streams")
        return metrics

    def start_millis(self, row, place):
        """From the start of the process to the first answer."""
        mock = start_mock(place, self.mock)
        begin = time.monotonic()
        running = row.start(place, mock)
        running.get("/health")
        took = time.monotonic() - getattr(running, "began", begin)
        place.clear()
        return took * 1000

    def kilobytes(self, row, place, counts, *how):
        """What each session costs when there are so many, with its stream where that is asked for."""
        place.clear()
        mock = start_mock(place, self.mock)
        running = row.start(place, mock)
        # connections and buffers, so that only sessions are new
        Load(place, running, ["--sessions", "100"]).tell("run 0.2")
        before, loads, opened = settled(running), [], 0
        for count in counts:
            loads.append(Load(place, running, ["--sessions", count - opened, "--patience", "20", *how]))
            opened = count
            yield (settled(running) - before) / 1024 / count
        if how:
            [load.tell("streams") for load in loads]


def within_limits(streams):
    """As many as the process may have descriptors for."""
    return min(streams, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_DESCRIPTORS) // 2)
