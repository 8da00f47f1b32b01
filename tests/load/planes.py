"""A control plane and its nodes as processes: what is applied, when which node runs it, and what that costs whom."""

import http.client
import json
import subprocess
import time
from datetime import datetime

from network import free_port
from process import Failed, Process

# all programs share them, as they share a small machine
CORES = "0,1"
# for a node to start, join and run something
START = 30
# whoever keeps a push for longer than that has lost it
PUSH = 60
RUNS = "a node runs the configuration"
REFUSES = "a node refused the configuration"


class ControlPlane:
    """The process, and its REST API. Its log tells to the microsecond who runs what."""

    def __init__(self, program, folder):
        self.folder, self.grpc, self.http, self.read = folder, free_port(), free_port(), 0
        command = [program, "--state-dir", folder / "state"]
        command += ["--grpc", f"127.0.0.1:{self.grpc}", "--http", f"127.0.0.1:{self.http}"]
        self.process = Process(command, CORES, folder / "control-plane.log")
        self.process.wait_for(self.http)
        self.get("/health")
        self.token = (folder / "state" / "admin.token").read_text().strip()

    def get(self, path):
        """What is open to everybody."""
        return self.request("GET", path)

    def ask(self, method, path, body):
        """What the API answers to who may do everything."""
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        return json.loads(self.request(method, f"/api/v1{path}", json.dumps(body), headers))

    def request(self, method, path, body=None, headers=None):
        """An answer, which must be that it was done."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=PUSH)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status not in (200, 201):
            raise Failed(f"{method} {path}: {answer.status} {said[:500].decode(errors='replace')}")
        return said

    def join_token(self, node):
        """Admits one node."""
        return self.ask("POST", "/tokens", {"kind": "join", "name": node})["token"]

    def apply(self, objects):
        """The revision they are."""
        return self.ask("POST", "/apply", {"objects": objects})["revision"]

    def active(self, revision, nodes):
        """When the last of so many nodes ran it, by the clock that time.time() reads; and how long each took for its part."""
        deadline, found = time.monotonic() + PUSH, []
        while time.monotonic() < deadline:
            for line in self.new_lines():
                if line.get("revision") != revision:
                    continue
                if line["message"].startswith(REFUSES):
                    raise Failed(f"refused: {line}")
                if line["message"] == RUNS:
                    found.append(line)
            if len(found) == nodes:
                at = [datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00")).timestamp() for line in found]
                return max(at), [line["took_us"] for line in found]
            time.sleep(0.002)
        raise Failed(f"{len(found)} of {nodes} nodes run revision {revision} after {PUSH} s")

    def new_lines(self):
        """What it logged since, line by line."""
        with open(self.process.log, "rb") as log:
            log.seek(self.read)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def sent_bytes(self):
        """To all nodes, over the connections that are open."""
        command = ["ss", "-tinH", "state", "established", f"( sport = :{self.grpc} )"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return sum(int(word.split(":")[1]) for word in said.split() if word.startswith("bytes_sent:"))


class Node:
    """A data plane that joins."""

    def __init__(self, program, folder, name, control, core=CORES, workers=2):
        token = folder / f"{name}.token"
        token.write_text(control.join_token(name))
        self.port = free_port()
        command = [program, "--control-plane", f"https://127.0.0.1:{control.grpc}", "--join-token-file", token]
        command += ["--node", name, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{free_port()}"]
        command += ["--state-dir", folder / name, "--workers", str(workers)]
        self.process = Process(command, core, folder / f"{name}.log")

    def serves(self):
        """Until it has a configuration; before, it answers that it has none, and closes."""
        self.process.wait_for(self.port)
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
            time.sleep(0.002)
        raise Failed(f"a node has no configuration:\n{self.process.said()}")

    def connects(self):
        deadline = time.monotonic() + START
        while "connected to the control plane" not in self.process.said():
            if time.monotonic() > deadline or self.process.child.poll() is not None:
                raise Failed(f"a node did not connect:\n{self.process.said()}")
            time.sleep(0.01)


class Fleet:
    """Both, to be ended by its end."""

    def __init__(self, programs, folder, nodes):
        self.control = ControlPlane(programs / "sluice-controlplane", folder)
        self.nodes = []
        for number in range(nodes):
            self.nodes.append(Node(programs / "sluice-dataplane", folder, f"node-{number}", self.control))
        for node in self.nodes:
            node.connects()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in [self.control, *self.nodes]:
            program.process.stop()

    def costs(self):
        """So far: processor time of the control plane and of a node, and bytes to a node."""
        nodes = len(self.nodes)
        cpu = sum(node.process.cpu_micros() for node in self.nodes) / nodes
        return self.control.process.cpu_micros(), cpu, self.control.sent_bytes() / nodes

    def rss_mb(self):
        """Of a node."""
        return sum(node.process.rss_bytes() for node in self.nodes) / len(self.nodes) / 1e6
