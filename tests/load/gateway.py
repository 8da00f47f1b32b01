"""A Sluice in front of the mock's servers, and its clients' sessions and requests."""

import json

from messages import INITIALIZE, LEGACY, asking
from network import exchange, free_port, post
from process import PROXY_CORE, Process

TEXT = "x" * 200
MERGED = "/mcp"
# the first answer waits for every server
FIRST = 30


def own(server):
    """The door of one server."""
    return f"/servers/s{server}/mcp"


class Gateway:
    """One process: one worker, no authentication, no access log."""

    def __init__(self, binary, folder, mock, servers):
        folder.mkdir()
        self.servers = servers
        self.port, self.admin = free_port(), free_port()
        config = {
            "proxy": {"port": self.port, "log_level": "warn", "access_log": False},
            "servers": {f"s{n}": {"url": f"http://127.0.0.1:{mock}/s{n}/mcp"} for n in range(servers)},
        }
        (folder / "sluice.json").write_text(json.dumps(config))
        command = [str(binary), "run", "--config", str(folder / "sluice.json"), "--workers", "1"]
        command += ["--admin", f"127.0.0.1:{self.admin}", "--state-dir", str(folder / "state")]
        self.process = Process(command, PROXY_CORE, folder / "log")

    def open(self, door=MERGED):
        """A legacy session there, as clients open it: the sealed id."""
        session = exchange(self.port, post(self.port, door, {}, INITIALIZE), FIRST).session
        headers = {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": session}
        exchange(self.port, post(self.port, door, headers, '{"jsonrpc":"2.0","method":"notifications/initialized"}'))
        return session

    def request(self, door, method, session=None, **params):
        """The bytes of a request on a door: inside a legacy session, or modern."""
        return post(self.port, door, *asking(method, session, **params))

    def call(self, door, server, tool, session=None):
        """The bytes of a call. On the merged door, names say whose they are."""
        name = f"s{server}_tool_{tool}" if door == MERGED else f"tool_{tool}"
        return self.request(door, "tools/call", session, name=name, arguments={"text": TEXT})

    def result(self, request):
        """What a request brings."""
        answer = json.loads(exchange(self.port, request, FIRST).body)
        return answer.get("result", answer)

    def tools(self, door, session=None):
        """Every tool's name, all pages."""
        names, cursor = [], {}
        while cursor is not None:
            page = self.result(self.request(door, "tools/list", session, **cursor))
            names += [tool["name"] for tool in page["tools"]]
            cursor = {"cursor": page["nextCursor"]} if "nextCursor" in page else None
        return names
