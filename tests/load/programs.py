"""What runs in a measurement: the mock server, the proxies, and the load."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from network import free_port
from process import LOAD_CORE, PROXY_CORE, Failed, Process

HERE = Path(__file__).resolve().parent
DOOR = "/servers/s0/mcp"
KEY = "load-test-key"
# names the folder of the two ends, once they are built
ENDS = "SLUICE_LOAD_ENDS"


class Programs:
    """Paths of what was built."""

    def __init__(self, sluice, ends):
        self.sluice, self.mock, self.load = sluice, ends / "mock", ends / "load"


class Place:
    """Where one measurement happens: a folder for everybody, and what was started, to be stopped behind it."""

    def __init__(self, programs, folder):
        self.programs, self.folder, self.started = programs, folder, []

    def start(self, name, command, core, **how):
        """A process, with a folder for it."""
        process = Process(command, core, self.folder / f"{name}-{len(self.started)}.log", **how)
        self.started.append(process)
        return process

    def room(self, name):
        room = self.folder / f"{name}-{len(self.started)}"
        room.mkdir()
        return room

    def clear(self, keep=0):
        """Ends all but the first ones."""
        while len(self.started) > keep:
            self.started.pop().stop()


class Running:
    """Something that listens: a proxy, or the mock itself."""

    def __init__(self, process, port, path=DOOR, arguments=()):
        self.process, self.port, self.path, self.arguments = process, port, path, list(arguments)


class Direct:
    """No proxy: what the mock itself costs, and the ends can do."""

    name = "direct"

    def start(self, place, mock):
        return mock


class Peer:
    """A proxy of peers.sh."""

    def __init__(self, name):
        self.name = name

    def start(self, place, mock, workers=1, cert=("", "")):
        room, port = place.room(self.name), free_port()
        env = {"PORT": port, "MOCK": mock.port, "DIR": room, "WORKERS": workers, "CERT": cert[0], "KEY": cert[1]}
        env = {name: str(value) for name, value in env.items()}
        room.chmod(0o755)  # an nginx worker started by root is nobody
        process = place.start(self.name, [HERE / "peers.sh", self.name], PROXY_CORE, env=env)
        process.wait_for(port)
        path = room / "path"
        return Running(process, port, path.read_text().strip() if path.exists() else DOOR)


class Sluice:
    """Sluice, in one of its shapes."""

    def __init__(self, name="sluice", path=DOOR, servers=1, key=False, log=False):
        self.name, self.path, self.servers, self.key, self.log = name, path, servers, key, log

    def start(self, place, mock):
        room, port, admin = place.room("sluice"), free_port(), free_port()
        (room / "sluice.json").write_text(json.dumps(self.configuration(port, mock)))
        command = [place.programs.sluice, "run", "--config", room / "sluice.json", "--workers", "1"]
        command += ["--admin", f"127.0.0.1:{admin}", "--state-dir", room / "state"]
        process = place.start("sluice", command, PROXY_CORE)
        process.wait_for(port)
        return Running(process, port, self.path, ["--key", KEY] if self.key else [])

    def configuration(self, port, mock):
        config = {
            "proxy": {"port": port, "log_level": "warn", "access_log": self.log},
            "servers": {f"s{n}": {"url": f"http://127.0.0.1:{mock.port}/servers/s{n}/mcp"} for n in range(self.servers)},
        }
        if self.key:
            config["clients"] = {"load": {"api_key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}}
        return config


def start_mock(place, arguments):
    """The MCP server behind every proxy."""
    port = free_port()
    command = [place.programs.mock, "--listen", f"127.0.0.1:{port}", *arguments]
    process = place.start("mock", command, LOAD_CORE)
    process.wait_for(port)
    return Running(process, port)


class Load:
    """A load generator in front of something; it does what it is told."""

    def __init__(self, place, running, arguments):
        command = [place.programs.load, "--connect", f"127.0.0.1:{running.port}", "--path", running.path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = place.start("load", [*command, *running.arguments, *arguments], LOAD_CORE, **pipes)
        self.ready = self.answer()

    def tell(self, command):
        """What came of it."""
        self.process.child.stdin.write(command + "\n")
        self.process.child.stdin.flush()
        return self.answer()

    def answer(self):
        line = self.process.child.stdout.readline()
        if not line:
            raise Failed(self.process.said() or "load: ended without a word")
        return json.loads(line)


def build(root):
    """What is measured, with the profile that is shipped (or SLUICE_BIN), and the two ends. Once: what went on in a
    network of its own finds the paths in the environment."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target")).resolve()
    cargo = ["cargo", "build", "--quiet", "--locked"]
    if not (ends := os.environ.get(ENDS)):
        subprocess.run([*cargo, "--release", "--package", "sluice-load"], cwd=root, check=True)
        ends = os.environ[ENDS] = str(target / "release")
    if not (sluice := os.environ.get("SLUICE_BIN")):
        subprocess.run([*cargo, "--profile", "dist", "--bin", "sluice"], cwd=root, check=True)
        sluice = os.environ["SLUICE_BIN"] = str(target / "dist" / "sluice")
    if not os.access(sluice, os.X_OK):
        raise Failed(f"SLUICE_BIN={sluice} is no program")
    return Programs(Path(sluice).resolve(), Path(ends))
