"""One measurement: one proxy, one scenario, one run."""

import os
from pathlib import Path

from process import PROXY_CORE
from programs import Load, start_mock


def measure(scenario, row, place, seconds):
    """Starts everything, warms it, and measures a run."""
    mock = start_mock(place, scenario.mock)
    running = row.start(place, mock)
    load = Load(place, running, scenario.load)
    load.tell(scenario.warm)
    before = running.process.cpu_micros(), others(running)
    seen = load.tell(f"run {seconds}")
    cpu, foreign = running.process.cpu_micros() - before[0], others(running) - before[1]
    return {
        **seen,
        "cpu": cpu / seen["requests"],
        "rss": running.process.rss_bytes(),
        "noise": foreign / 1e6 / seen["seconds"],
    }


def others(running):
    """µs that the proxies' core spent on anything else than this proxy."""
    fields = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{PROXY_CORE} "))
    user, nice, system, _, _, irq, softirq, steal = map(int, fields.split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) * 1e6 / os.sysconf("SC_CLK_TCK")
    return busy - running.process.cpu_micros()
