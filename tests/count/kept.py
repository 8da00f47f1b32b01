"""The counts that are kept in the repository, and how others compare with them."""

import json
import platform
import subprocess
from pathlib import Path

from callgrind import Counted, Failed

FILE = Path(__file__).resolve().parent / "kept.json"
# instructions: more than this is worse, and less than this is worth keeping
MOVED = 0.10
# Of what is counted in ones. Averages, because now and then a buffer grows or a wake-up comes early, and each wake-up reads
# the clock.
ONE_MORE = {"allocations": 0.5, "system_calls": 0.5, "clocks": 1}


def made_with():
    """What the counts depend on beside the sources."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout
    return {"machine": platform.machine(), "rustc": rustc.split()[1], "libc": " ".join(platform.libc_ver())}


def load():
    if not FILE.exists():
        return {"made_with": {}, "counts": {}}
    kept = json.loads(FILE.read_text())
    # with other columns, it is to be kept anew
    comparable = kept["columns"] == list(Counted._fields)
    counts = {name: Counted(*counted) for name, counted in kept["counts"].items() if comparable}
    return {**kept, "counts": counts}


def store(counts, whole):
    """Keeps them; `whole`: and forgets those of cases that are no more."""
    together = {**({} if whole else load()["counts"]), **counts}
    rows = {name: [round(each[0]), *(round(one, 1) for one in each[1:])] for name, each in sorted(together.items())}
    # a line for each case, so that a change shows as one
    lines = ",\n".join(f"  {spelled(name)}: {spelled(row)}" for name, row in rows.items())
    head = f' "made_with": {spelled(made_with())},\n "columns": {spelled(Counted._fields)}'
    FILE.write_text(f'{{\n{head},\n "counts": {{\n{lines}\n }}\n}}\n')


def spelled(value):
    return json.dumps(value, ensure_ascii=False)


def judge(now, before, held):
    """The share by which instructions changed, what is wrong, and what is worth saying. `held`: which columns count beside
    instructions."""
    if before is None:
        return None, "not kept yet", None
    change = now.instructions / before.instructions - 1
    more = {name: getattr(now, name) - getattr(before, name) for name in held}
    worse = [f"over {MOVED:.0%} more instructions"] if change > MOVED else []
    worse += [f"more {name.replace('_', ' ')}" for name in held if more[name] >= ONE_MORE[name]]
    better = change < -MOVED or any(more[name] <= -ONE_MORE[name] for name in held)
    return change, ", ".join(worse), "better: keep it" if better else None


def other_ground(kept):
    """What differs from where the kept counts were made, in a sentence; an error where they are of another machine."""
    here = made_with()
    if kept["made_with"].get("machine", here["machine"]) != here["machine"]:
        raise Failed(f"the kept counts are for {kept['made_with']['machine']}, this is {here['machine']}")
    moved = [f"{name} {was}, here {here[name]}" for name, was in kept["made_with"].items() if here[name] != was]
    return f"kept with {'; '.join(moved)}: expect other counts" if moved else None
