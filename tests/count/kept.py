"""The counts that are kept in the repository, and how others compare with them."""

import json
import platform
import re
import subprocess
from pathlib import Path

from callgrind import Counted, Failed

FILE = Path(__file__).resolve().parent / "kept.json"
# more than this is worse, and less than this is worth keeping
MOVED = 0.10
# allocations are averages, and now and then a buffer grows
ONE_MORE = 0.5


def made_with():
    """What the counts depend on beside the sources."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout
    return {"machine": platform.machine(), "rustc": rustc.split()[1], "libc": " ".join(platform.libc_ver())}


def load():
    if not FILE.exists():
        return {"made_with": {}, "counts": {}}
    kept = json.loads(FILE.read_text())
    kept["counts"] = {name: Counted(*counted) for name, counted in kept["counts"].items()}
    return kept


def store(counts, whole):
    """Keeps them; `whole`: and forgets those of cases that are no more."""
    kept = {} if whole else load()["counts"]
    kept = {name: [round(each.instructions), round(each.allocations, 1)] for name, each in sorted({**kept, **counts}.items())}
    text = json.dumps({"made_with": made_with(), "counts": kept}, indent=1, ensure_ascii=False)
    # a line for each case
    FILE.write_text(re.sub(r"\[\s+(\S+)\s+(\S+)\s+\]", r"[\1 \2]", text) + "\n")


def judge(now, before):
    """The share by which instructions changed, what is wrong, and what is worth saying."""
    if before is None:
        return None, "not kept yet", None
    change = now.instructions / before.instructions - 1
    if change > MOVED:
        return change, f"more than {MOVED:.0%} over what is kept", None
    if now.allocations >= before.allocations + ONE_MORE:
        return change, "allocates more than what is kept", None
    better = change < -MOVED or now.allocations <= before.allocations - ONE_MORE
    return change, None, "better: keep it" if better else None


def other_ground(kept):
    """What differs from where the kept counts were made, in a sentence; none where they are of another machine."""
    here = made_with()
    if kept["made_with"].get("machine", here["machine"]) != here["machine"]:
        raise Failed(f"the kept counts are for {kept['made_with']['machine']}, this is {here['machine']}")
    moved = [f"{name} {was}, here {here[name]}" for name, was in kept["made_with"].items() if here[name] != was]
    return f"kept with {'; '.join(moved)}: expect other counts" if moved else None
