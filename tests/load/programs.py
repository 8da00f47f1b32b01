"""What runs in a measurement: the mock server, the proxies (a row of the table each), and the load."""

import copy
import hashlib
import http.client
import json
import os
import subprocess
import tempfile
from pathlib import Path

from issuer import Issuer
from network import free_port
from process import LOAD_CORE, PROXY_CORE, Failed, Process

HERE = Path(__file__).resolve().parent
DOOR = "/servers/s0/mcp"
KEY = "load-test-key"
# grants what is called, by patterns, and denies something else
POLICY = {"who": ["everybody"], "allow": [{"servers": ["s*"], "tools": ["ech*", "tool_*"]}], "deny": [{"tools": ["delete_*"]}]}
# names the folder of the two ends, once they are built
ENDS = "SLUICE_LOAD_ENDS"


class Programs:
    """Paths of what was built, and whether it is given the time to end by itself."""

    def __init__(self, sluice, ends):
        self.sluice, self.mock, self.load = sluice, ends / "mock", ends / "load"
        self.let_end = False


class Place:
    """Where one measurement happens: a folder for everybody, and what was started, to be stopped behind it."""

    def __init__(self, programs, folder):
        self.programs, self.folder, self.started = programs, folder, []

    def start(self, name, command, core, **how):
        """A process, with a file for what it says."""
        process = Process(command, core, self.folder / f"{name}-{len(self.started)}.log", **how)
        self.started.append(process)
        return process

    def room(self, name):
        """A folder for one process."""
        room = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        room.chmod(0o755)  # an nginx worker started by root is nobody
        return room

    def certificate(self):
        """A certificate for loopback, and its key: files, made when they are first asked for."""
        files = self.folder / "cert.pem", self.folder / "key.pem"
        if not files[0].exists():
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
            command += ["-addext", "basicConstraints=critical,CA:FALSE", "-out", files[0], "-keyout", files[1]]
            subprocess.run(command, check=True, capture_output=True)
        return files

    def clear(self):
        while self.started:
            process = self.started.pop()
            if self.programs.let_end:
                process.end()
            process.stop()


class Running:
    """Something that listens: a proxy, or the mock itself. `arguments`: what clients need to come in."""

    def __init__(self, process, port, path=DOOR, arguments=()):
        self.process, self.port, self.path, self.arguments = process, port, path, list(arguments)

    def get(self, path):
        """What it says there, whatever that is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", path)
        said = connection.getresponse().read()
        connection.close()
        return said


class Row:
    """Something that is measured. `load`, `mock` and `warm` come to those of the scenario; `beside`: rows it is held
    against, by the title of the column; `is_alone`: its children do not count."""

    def __init__(self, name, load=(), mock=(), warm=None, beside=None, core=PROXY_CORE, workers=1, is_alone=False):
        self.name, self.load, self.mock, self.warm, self.beside = name, list(load), list(mock), warm, beside or {}
        self.core, self.workers, self.is_alone = core, workers, is_alone


class Direct(Row):
    """No proxy: what the mock itself costs, and what the ends can do."""

    def __init__(self, **how):
        super().__init__("direct", **how)

    def start(self, place, mock):
        return mock


class Peer(Row):
    """A proxy of peers.sh."""

    def __init__(self, peer, name=None, tls=False, h2=False, **how):
        super().__init__(name or peer, **how)
        self.peer, self.tls, self.h2 = peer, tls, h2

    def instead(self, peer):
        """Another one in its place."""
        row = copy.copy(self)
        row.name = row.peer = peer
        return row

    def start(self, place, mock):
        room, port = place.room(self.peer), free_port()
        certificate, key = place.certificate() if self.tls else ("", "")
        env = {"PORT": port, "MOCK": mock.port, "DIR": room, "WORKERS": self.workers, "CERT": certificate, "KEY": key}
        env = {name: str(value) for name, value in env.items()} | {"H2": "yes" if self.h2 else ""}
        process = place.start(self.peer, [HERE / "peers.sh", self.peer], self.core, env=env)
        process.wait_for(port)
        path = room / "path"
        path = path.read_text().strip() if path.exists() else DOOR
        return Running(process, port, path, ["--trust", certificate] if self.tls else [])


class Sluice(Row):
    """Sluice, in one of its shapes. `token`: clients come with a JWT; `policies`: so many; `stdio`: its server is a child."""

    def __init__(self, name="sluice", path=DOOR, servers=1, key=False, token=False, policies=0, log=False, stdio=False, tls=False, **how):
        super().__init__(name, is_alone=stdio, **how)
        self.path, self.servers, self.log, self.stdio, self.tls = path, servers, log, stdio, tls
        self.key, self.token, self.policies = key, token, policies
        # of its process, beside that of the benchmark
        self.env = None

    def start(self, place, mock):
        room, port, admin = place.room("sluice"), free_port(), free_port()
        config = self.configuration(place, port, mock)
        arguments = ["--key", KEY] if self.key else []
        if self.token:
            issuer = Issuer(room)
            config["issuers"] = issuer.configuration()
            arguments = ["--key", issuer.token()]
        (room / "sluice.json").write_text(json.dumps(config))
        command = [place.programs.sluice, "run", "--config", room / "sluice.json", "--workers", self.workers]
        command += ["--admin", f"127.0.0.1:{admin}", "--state-dir", room / "state"]
        process = place.start("sluice", command, self.core, env=self.env)
        process.wait_for(port)
        if self.tls:
            arguments += ["--trust", place.certificate()[0]]
        return Running(process, port, self.path, arguments)

    def configuration(self, place, port, mock):
        if self.stdio:
            # on the core of the ends: the gateway is what is measured
            servers = {"s0": {"command": "taskset", "args": ["-c", LOAD_CORE, str(place.programs.mock), "--stdio"]}}
        else:
            url = f"http://127.0.0.1:{mock.port}/servers/{{}}/mcp"
            servers = {name: {"url": url.format(name)} for name in (f"s{number}" for number in range(self.servers))}
        limits = {"sessions_per_principal": 1_000_000}
        proxy = {"port": port, "log_level": "warn", "access_log": self.log, "limits": limits}
        if self.tls:
            certificate, private = map(str, place.certificate())
            proxy["tls"] = [{"certificate": certificate, "key": private}]
        config = {"proxy": proxy, "servers": servers}
        if self.key:
            config["clients"] = {"load": {"api_key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}}
        if self.policies:
            config["policies"] = {f"p{number}": POLICY for number in range(self.policies)}
        return config


def start_mock(place, arguments):
    """The MCP server behind every proxy."""
    port = free_port()
    command = [place.programs.mock, "--listen", f"127.0.0.1:{port}", *arguments]
    process = place.start("mock", command, LOAD_CORE)
    process.wait_for(port)
    return Running(process, port)


class Load:
    """Clients in front of something; they do what they are told."""

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


def build(root, plain):
    """What is measured, as it is shipped (or SLUICE_BIN), and the two ends. Once: what goes on in a
    network of its own finds the paths in the environment."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target")).resolve()
    cargo = ["cargo", "build", "--quiet", "--locked"]
    if not (ends := os.environ.get(ENDS)):
        subprocess.run([*cargo, "--release", "--package", "sluice-load"], cwd=root, check=True)
        ends = os.environ[ENDS] = str(target / "release")
    if not (sluice := os.environ.get("SLUICE_BIN")):
        programs = [word for name in ("sluice", "sluice-dataplane", "sluice-controlplane") for word in ("--bin", name)]
        subprocess.run([*cargo, "--profile", "dist", *programs] if plain else [root / "deploy" / "build"], cwd=root, check=True)
        sluice = os.environ["SLUICE_BIN"] = str(target / ("dist" if plain else "shipped") / "sluice")
    if not os.access(sluice, os.X_OK):
        raise Failed(f"SLUICE_BIN={sluice} is no program")
    return Programs(Path(sluice).resolve(), Path(ends))
