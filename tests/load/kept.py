"""Sessions in Redis: what it costs to find them, to begin them and to keep them, and how soon another node goes on with them."""

import base64
import http.client
import json
import os
import socket
import statistics
import time

from idle import within_limits
from memory import settled
from network import free_port
from process import LOAD_CORE, Failed, take_precedence
from programs import DOOR, Load, Sluice, start_mock
from scenario import Goal, Scenario, observe
from table import Column

SESSIONS, KEPT = 10_000, 100_000
# sessions that are called one after the other
CALLED = 2_000
# of a failover
ROUNDS, STREAMS = 5, 200
PATIENCE = ["--patience", "30"]
HERE, THERE = "a call, its session at hand", "a call, its session in Redis only"
IN_MEMORY = "a call, sessions in memory"
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "load", "version": "1"}}


class Kept(Scenario):
    """Each row is a measurement of its own, with a Redis and nodes of its own, and has what it measures."""

    columns = [
        Column.median("p50 µs", "p50"),
        Column.median("p99 µs", "p99"),
        Column.median("CPU µs", "cpu", 8, "{:.2f}"),
        Column.median("per s", "rate"),
        Column.median("commands", "commands", 8, "{:.2f}"),
        Column.median("bytes", "bytes"),
        Column.median("KB", "kilobytes", 8, "{:.2f}"),
        Column.median("MB", "megabytes", 8, "{:.1f}"),
        Column.median("ms", "ms", 8, "{:.1f}"),
    ]

    def all_columns(self):
        return self.columns

    def measure(self, row, place, seconds):
        # who asks one after the other is this process
        take_precedence(os.getpid())
        return row.measure(place, seconds)


class Line(Sluice):
    """`what(line, place, seconds)`: metrics by name."""

    def __init__(self, name, what):
        super().__init__(name)
        self.what = what

    def measure(self, place, seconds):
        return self.what(self, place, seconds)


def table():
    lines = [
        Line(IN_MEMORY, lambda line, place, seconds: at_hand(line, place, seconds, None)),
        Line(HERE, lambda line, place, seconds: at_hand(line, place, seconds, Redis(place))),
        Line(THERE, elsewhere),
        Line("a session begins", begins),
        Line("100,000 sessions, in Redis", kept),
        Line("10,000 sessions, on a node", lambda line, place, _: on_a_node(line, place)),
        Line("the same, with open streams", lambda line, place, _: on_a_node(line, place, "--streams")),
        Line("kill -9: the first call elsewhere", lambda line, place, _: killed(line, place, called)),
        Line("kill -9: 200 streams are open again", lambda line, place, _: killed(line, place, resumed)),
    ]
    goals = {
        HERE: [Goal("cpu", most=1, over=IN_MEMORY, unit=" µs")],
        THERE: [Goal("p99", most=500, over=HERE, unit=" µs")],
        lines[3].name: [Goal("commands", most=1)],
        lines[4].name: [Goal("bytes", most=1024)],
        lines[5].name: [Goal("kilobytes", most=1, unit=" KB")],
        lines[6].name: [Goal("megabytes", most=160, unit=" MB"), Goal("kilobytes", most=16, unit=" KB")],
        lines[7].name: [Goal("ms", most=100, unit=" ms")],
        lines[8].name: [Goal("ms", most=2_000, unit=" ms")],
    }
    return Kept("sessions-redis", "sessions that are kept in Redis, on a server's own door", lines, goals)


class Redis:
    """A Redis that writes down nothing, on the core of the ends."""

    def __init__(self, place):
        self.port = free_port()
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = place.start("redis", [*command, "--dir", place.room("redis")], LOAD_CORE)
        self.process.wait_for(self.port)
        key = base64.b64encode(os.urandom(32)).decode()
        self.env = {"SLUICE_REDIS": f"redis://127.0.0.1:{self.port}", "SLUICE_SESSION_KEYS": f"1:{key}"}

    def info(self, section):
        """What it tells of itself: numbers and words by name."""
        connection = Wire(self.port)
        said = connection.ask(f"INFO {section}\r\n")
        connection.close()
        return dict(line.split(":", 1) for line in said.splitlines() if ":" in line)

    def commands(self):
        """Of those by which sessions are read, written and kept."""
        stats = self.info("commandstats")
        ours = [f"cmdstat_{name}" for name in ("set", "get", "eval", "getdel", "pexpire", "getrange")]
        return sum(int(stats[name].split("calls=")[1].split(",")[0]) for name in ours if name in stats)

    def bytes(self):
        return int(self.info("memory")["used_memory"])


class Wire:
    """As much of Redis' protocol as one question takes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def ask(self, line):
        self.socket.sendall(line.encode())
        length = int(self.file.readline()[1:])
        return self.file.read(length + 2).decode()

    def close(self):
        self.file.close()
        self.socket.close()


class Client:
    """One connection, over which sessions are used one after the other."""

    def __init__(self, port):
        self.connection, self.number = http.client.HTTPConnection("127.0.0.1", port, timeout=10), 0

    def post(self, method, params, session=None):
        """The answer, which must be one."""
        self.number += 1
        body = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        answer = self.send("POST", json.dumps(body), session)
        said = answer.read()
        if answer.status != 200:
            raise Failed(f"{method}: {answer.status} {said[:300].decode(errors='replace')}")
        return answer

    def send(self, verb, body, session, **more):
        headers = {"accept": "application/json, text/event-stream", "content-type": "application/json", **more}
        if session:
            headers |= {"mcp-session-id": session, "mcp-protocol-version": "2025-11-25"}
        self.connection.request(verb, DOOR, body, headers)
        return self.connection.getresponse()

    def begin(self):
        """A session's id."""
        return self.post("initialize", INITIALIZE).getheader("mcp-session-id")

    def call(self, session):
        """How long it took, in µs."""
        began = time.perf_counter_ns()
        self.post("tools/call", {"name": "echo", "arguments": {"text": "0000000001"}}, session)
        return (time.perf_counter_ns() - began) / 1000


def start(line, place, redis, mock):
    line.env = redis.env if redis else None
    return line.start(place, mock)


def percentiles(micros):
    cuts = statistics.quantiles(micros, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


def at_hand(line, place, seconds, redis):
    """One after the other, and what a call costs when sixteen connections are busy."""
    mock = start_mock(place, [])
    running = start(line, place, redis, mock)
    client = Client(running.port)
    sessions = [client.begin() for _ in range(CALLED)]
    for session in sessions:
        client.call(session)
    metrics = percentiles([client.call(session) for session in sessions])
    load = Load(place, running, ["--connections", "16"])
    load.tell("run 0.5")
    return metrics | {"cpu": observe(mock, running, load, f"run {seconds}")["cpu"]}


def elsewhere(line, place, seconds):
    """Each call is the first in its session at this node."""
    redis, mock = Redis(place), start_mock(place, [])
    here, there = (start(line, place, redis, mock) for _ in range(2))
    client, other = Client(here.port), Client(there.port)
    sessions = [client.begin() for _ in range(CALLED)]
    warm = other.begin()
    for _ in range(CALLED // 4):
        other.call(warm)
    return percentiles([other.call(session) for session in sessions])


def begins(line, place, seconds):
    redis = Redis(place)
    running = start(line, place, redis, start_mock(place, []))
    Load(place, running, ["--sessions", "1000"])
    before = redis.commands()
    ready = Load(place, running, ["--sessions", SESSIONS, *PATIENCE]).ready
    return {"rate": SESSIONS / ready["seconds"], "commands": (redis.commands() - before) / SESSIONS}


def kept(line, place, seconds):
    redis = Redis(place)
    running = start(line, place, redis, start_mock(place, []))
    Load(place, running, ["--sessions", "100"])
    before = redis.bytes()
    Load(place, running, ["--sessions", KEPT, *PATIENCE])
    return {"bytes": (redis.bytes() - before) / KEPT}


def on_a_node(line, place, *how):
    redis = Redis(place)
    running = start(line, place, redis, start_mock(place, []))
    Load(place, running, ["--sessions", "100"]).tell("run 0.2")
    before, count = settled(running), within_limits(SESSIONS) if how else SESSIONS
    load = Load(place, running, ["--sessions", count, *PATIENCE, *how])
    after = settled(running)
    if how:
        load.tell("streams")
    return {"kilobytes": (after - before) / 1024 / count, "megabytes": after / 1e6}


def killed(line, place, then):
    """The median of some rounds: how long until `then` is done at the node that is left."""
    redis, mock = Redis(place), start_mock(place, [])
    left = start(line, place, redis, mock)
    Client(left.port).begin()
    took = []
    for _ in range(ROUNDS):
        node = start(line, place, redis, mock)
        client = Client(node.port)
        sessions = [client.begin() for _ in range(STREAMS)]
        streams = [opened(node.port, session) for session in sessions] if then is resumed else []
        began = time.perf_counter()
        node.process.stop()
        then(left.port, sessions)
        took.append((time.perf_counter() - began) * 1000)
        del streams
    return {"ms": statistics.median(took)}


def called(port, sessions):
    Client(port).call(sessions[0])


def resumed(port, sessions):
    return [opened(port, session) for session in sessions]


def opened(port, session):
    """A GET stream; what it is read by holds it open."""
    client = Client(port)
    answer = client.send("GET", None, session, accept="text/event-stream")
    if answer.status != 200:
        raise Failed(f"GET: {answer.status}")
    return client, answer
