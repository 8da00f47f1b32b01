"""The whole path: the built gateway with one worker under callgrind, between a client and servers on loopback."""

import hashlib
import json
import socket
from typing import NamedTuple

from callgrind import Failed, Process, wait_until
from client import Client
from message import tool
from upstream import Upstream

KEY = "count-key"
# until connections, buffers and catalogues are as they stay
WARM = 40
REQUESTS = 200
# how far two counts of the same requests may lie apart, and how often they are taken
AGREE = 0.01
MOST = 6


class Asked(NamedTuple):
    """What is asked again and again, and what part of the result must be what."""

    name: str
    era: str
    door: str
    method: str
    params: dict
    items: str
    expected: list


def call(name, era, door, tool="tool_0", size=200):
    """The text of a call comes back."""
    text = "x" * size
    params = {"name": tool, "arguments": {"text": text}}
    return Asked(name, era, door, "tools/call", params, "content", [{"type": "text", "text": text}])


def tools(name, era, door, expected):
    return Asked(name, era, door, "tools/list", {}, "tools", expected)


class Setting(NamedTuple):
    """A gateway's servers, whether it wants a key and writes a log, and what it is asked."""

    name: str
    servers: dict
    guarded: bool
    asked: list


def own(name):
    return f"/servers/{name}/mcp"


HUNDRED = [tool(number) for number in range(100)]
MERGED = [{**tool(number), "name": f"s{server}_tool_{number}"} for server in range(10) for number in range(10)]

OWN = {"legacy": "/legacy/100", "modern": "/modern/100", "events": "/legacy-sse/100"}
SETTINGS = [
    Setting(
        "own doors",
        OWN,
        False,
        [
            call("legacy call 200 B", "legacy", own("legacy")),
            call("legacy call 4 KB", "legacy", own("legacy"), size=4096),
            call("legacy call 200 B, SSE reply", "legacy", own("events")),
            call("modern call 200 B", "modern", own("modern")),
            tools("legacy list of 100", "legacy", own("legacy"), HUNDRED),
            tools("modern list of 100", "modern", own("modern"), HUNDRED),
        ],
    ),
    Setting(
        "key and log",
        OWN,
        True,
        [
            call("legacy call 200 B, key and log", "legacy", own("legacy")),
            call("modern call 200 B, key and log", "modern", own("modern")),
        ],
    ),
    *(
        Setting(
            f"merged {era}",
            {f"s{number}": f"/{era}/10" for number in range(10)},
            False,
            [
                call(f"merged {era} call 200 B", era, "/mcp", "s5_tool_5"),
                tools(f"merged {era} list of 100", era, "/mcp", MERGED),
            ],
        )
        for era in ("legacy", "modern")
    ),
]


class Gateway:
    """Sluice as a setting wants it."""

    def __init__(self, binary, folder, setting, upstream):
        port, admin = free_port(), free_port()
        config = {
            "proxy": {"port": port, "log_level": "warn", "access_log": setting.guarded},
            "servers": {
                name: {"url": f"http://127.0.0.1:{upstream.port}{path}"} for name, path in setting.servers.items()
            },
        }
        headers = {}
        if setting.guarded:
            config["clients"] = {"count": {"api_key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}}
            headers = {"Authorization": f"Bearer {KEY}"}
        folder.mkdir()
        (folder / "sluice.json").write_text(json.dumps(config))
        command = [binary, "run", "--config", folder / "sluice.json", "--workers", "1"]
        command += ["--admin", f"127.0.0.1:{admin}", "--state-dir", folder / "state"]
        self.process = Process(command, folder)
        try:
            wait_until(lambda: listens(port), self.process)
            self.client = Client(port, headers)
        except BaseException:
            self.process.stop()
            raise

    def count(self, asked):
        """Per request, once two counts agree."""
        prepared = self.client.prepare(asked.era, asked.door, asked.method, **asked.params)
        self.repeat(asked, prepared, WARM)
        self.process.take()
        seen = []
        for _ in range(MOST):
            self.repeat(asked, prepared, REQUESTS)
            seen.append(self.process.take().per(REQUESTS))
            seen.sort()
            for one, next_one in zip(seen, seen[1:]):
                if next_one.instructions - one.instructions <= AGREE * one.instructions:
                    return one
        raise Failed(f"{asked.name}: no two counts agree: {[round(each.instructions) for each in seen]}")

    def repeat(self, asked, prepared, times):
        for _ in range(times):
            items = self.client.result(prepared)[asked.items]
            if items != asked.expected:
                raise Failed(f"{asked.name}: other {asked.items} than expected: {str(items)[:300]}")


def count(binary, folder, setting, wanted):
    """The counts of a setting's requests, by name."""
    asked = [each for each in setting.asked if wanted(each.name)]
    if not asked:
        return {}
    gateway = Gateway(binary, folder / setting.name.replace(" ", "-"), setting, Upstream())
    try:
        # a program without names would seem to allocate nothing
        if gateway.process.take().allocations == 0:
            raise Failed(f"{binary} has no symbols, so that its allocations cannot be counted")
        counts = {each.name: gateway.count(each) for each in asked}
        gateway.client.close()
        return counts
    finally:
        gateway.process.stop()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
