"""What gateways are asked: the cases of the whole path."""

import sys
from pathlib import Path
from typing import NamedTuple

from message import tool

STDIO = Path(__file__).resolve().parent / "upstream.py"


# What is held beside instructions: how often the path waits and reads, where no timer, other thread or large body has a say
# in that; and what it allocates, where the pieces of a body do not decide that.
ALL = ("allocations", "system_calls", "clocks")
ALLOCATIONS = ("allocations",)
NOTHING = ()


class Asked(NamedTuple):
    """What is asked again and again, and what part of the result must be what."""

    name: str
    era: str
    door: str
    method: str
    params: dict
    part: str
    expected: list
    times: int = 200
    held: tuple = ALL


class Setting(NamedTuple):
    """A gateway's servers, whether it wants a key and writes a log, what it is asked, its policies, and whether a token is
    what it wants."""

    name: str
    servers: dict
    guarded: bool
    asked: list
    policies: dict = {}
    by_token: bool = False


def call(name, era, door, tool="tool_0", size=200, **more):
    """The text of a call comes back."""
    text = "x" * size
    params = {"name": tool, "arguments": {"text": text}}
    return Asked(name, era, door, "tools/call", params, "content", [{"type": "text", "text": text}], **more)


def tools(name, era, door, expected, **more):
    return Asked(name, era, door, "tools/list", {}, "tools", expected, **more)


def own(server):
    """The door of one server."""
    return f"/servers/{server}/mcp"


def at(path, **more):
    """A server over HTTP, without the port."""
    return {"url": path, **more}


def granting(count, who="client:*"):
    """So many policies for clients, each with patterns to match, a denial and a limit; the call passes all of them."""
    rules = {
        "who": [who],
        "allow": [{"servers": ["leg*"], "tools": ["get_*", "tool_*"]}],
        "deny": [{"tools": ["delete_*"]}],
        "limit": [{"tools": ["tool_?"], "per": "tool", "requests_per_minute": 4000000000}],
    }
    # one limit is enough: each is counted on its own, as it should be
    others = {key: value for key, value in rules.items() if key != "limit"}
    return {f"p{number}": others if number else rules for number in range(count)}


HUNDRED = [tool(number) for number in range(100)]
MERGED = [{**tool(number), "name": f"s{server}_tool_{number}"} for server in range(10) for number in range(10)]

OWN = {
    "legacy": at("/legacy/100"),
    "modern": at("/modern/100"),
    "events": at("/legacy-sse/100"),
    "curated": at("/legacy/100", tools={"edit": {"tool_0": {"defaults": {"limit": 5}, "forced": {"since": "2026-05-01"}}}}),
    "stdio": {"command": sys.executable, "args": [str(STDIO), "/legacy/100"]},
}

SETTINGS = [
    Setting(
        "own doors",
        OWN,
        False,
        [
            call("legacy call 200 B", "legacy", own("legacy")),
            call("legacy call 4 KB", "legacy", own("legacy"), size=4096),
            call("legacy call 200 B, SSE reply", "legacy", own("events"), held=ALLOCATIONS),
            call("legacy call 200 B, curated", "legacy", own("curated")),
            call("legacy call 200 B, stdio server", "legacy", own("stdio"), held=ALLOCATIONS),
            call("modern call 200 B", "modern", own("modern")),
        ],
    ),
    Setting(
        "large bodies",
        OWN,
        False,
        [
            call("legacy call 1 MB, both ways", "legacy", own("legacy"), size=1024 * 1024, times=20, held=NOTHING),
            tools("legacy list of 100", "legacy", own("legacy"), HUNDRED, held=ALLOCATIONS),
            tools("modern list of 100", "modern", own("modern"), HUNDRED, held=ALLOCATIONS),
        ],
    ),
    Setting(
        "key and log",
        OWN,
        True,
        [
            call("legacy call 200 B, key and log", "legacy", own("legacy"), held=ALLOCATIONS),
            call("modern call 200 B, key and log", "modern", own("modern"), held=ALLOCATIONS),
        ],
    ),
    Setting(
        "token and log",
        OWN,
        True,
        [call("legacy call 200 B, token, log and policy", "legacy", own("legacy"), held=ALLOCATIONS)],
        granting(1, "everybody"),
        by_token=True,
    ),
    *(
        Setting(
            f"policies: {count}",
            OWN,
            True,
            [call(f"legacy call 200 B, key, log and {words}", "legacy", own("legacy"), held=ALLOCATIONS)],
            granting(count),
        )
        for count, words in ((1, "policy"), (300, "300 policies"))
    ),
    *(
        Setting(
            f"merged {era}",
            {f"s{number}": at(f"/{era}/10") for number in range(10)},
            False,
            [
                call(f"merged {era} call 200 B", era, "/mcp", "s5_tool_5"),
                tools(f"merged {era} list of 100", era, "/mcp", MERGED),
            ],
        )
        for era in ("legacy", "modern")
    ),
]
