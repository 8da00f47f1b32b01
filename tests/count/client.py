"""One client with one connection, which asks and waits for the whole answer before it asks again."""

import http.client
import json
import socket

from callgrind import Failed
from message import INITIALIZE, INITIALIZED, LEGACY, META, MODERN, post, request


class Client:
    def __init__(self, port, headers):
        self.port, self.headers = port, headers
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, prepared):
        """Sends the bytes of a request; the answer, with its body read."""
        self.connection.sendall(prepared)
        answer = http.client.HTTPResponse(self.connection)
        answer.begin()
        answer.content = answer.read()
        if answer.status not in (200, 202):
            raise Failed(f"the gateway says {answer.status}: {shortened(answer.content)}")
        return answer

    def result(self, prepared):
        """What a request brings, out of JSON or an event stream."""
        content = self.ask(prepared).content
        lines = content.splitlines()
        if not content.startswith(b"{"):
            lines = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: {")]
        answer = json.loads(lines[0]) if len(lines) == 1 else {}
        if "result" not in answer:
            raise Failed(f"the gateway answers {shortened(content)}")
        return answer["result"]

    def prepare(self, era, door, method, **params):
        """The bytes of a request: inside a legacy session that is opened for it, or modern."""
        if era == "modern":
            headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            headers |= {"Mcp-Name": params["name"]} if "name" in params else {}
            return self.post(door, headers, request(method, **params, _meta=META))
        session = self.ask(self.post(door, {}, INITIALIZE)).headers["Mcp-Session-Id"]
        headers = {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": session}
        self.ask(self.post(door, headers, INITIALIZED))
        return self.post(door, headers, request(method, **params))

    def post(self, door, headers, body):
        return post(self.port, door, {**self.headers, **headers}, body)

    def close(self):
        self.connection.close()


def shortened(content):
    return content[:300].decode(errors="replace")
