"""wrk: prepared requests in turn, and what came of them."""

import json
import subprocess
from pathlib import Path

from process import LOAD_CORE, Failed

CONNECTIONS = 16
SCRIPT = Path(__file__).resolve().parent / "calls.lua"


def drive(port, prepared, seconds, name):
    """Sends the requests of a file to a port; `name` is what fails. Requests answered, seconds, bytes received."""
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", SCRIPT]
    command += [f"http://127.0.0.1:{port}", "--", prepared]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 10)
    if done.returncode != 0:
        raise Failed(f"wrk: {done.stderr or done.stdout}")
    seen = json.loads(done.stdout.splitlines()[-1])
    if seen["failed"] or not seen["requests"]:
        raise Failed(f"{name}: {seen['failed']} of {seen['requests']} requests failed")
    return seen["requests"], seen["micros"] / 1e6, seen["bytes"]
