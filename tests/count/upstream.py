"""The MCP servers behind the gateway: deterministic, one thread per connection, each answer in one write.

The path of a request says which server it is: `/legacy/10` and `/modern/100` have so many tools, `/legacy-sse/1` answers
with an event stream. As a program, `upstream.py PATH`, that server is on stdin and stdout.
"""

import json
import socket
import sys
import threading

from message import LEGACY, MODERN, compact, tool

SERVER = {"name": "mock", "version": "1"}
CAPABILITIES = {"tools": {"listChanged": True}}
# longer than any run: nothing is to be fetched again
FRESH = {"ttlMs": 3_600_000, "cacheScope": "public"}
# an event stream on which nothing comes
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Upstream:
    """Listens from when it is made until the process ends."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection):
    with connection, connection.makefile("rb") as stream:
        while line := stream.readline():
            verb, path, _ = line.split()
            length = 0
            while header := stream.readline().strip():
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = stream.read(length)
            connection.sendall(reply(verb, path.decode(), body))


def reply(verb, path, body):
    if verb == b"GET":
        return STREAM if path.startswith("/legacy") else empty("405 Method Not Allowed")
    if verb != b"POST":
        return empty("200 OK")
    message = json.loads(body)
    if "id" not in message:
        return empty("202 Accepted")
    text = written(path, message)
    if message["method"] == "subscriptions/listen":
        return STREAM + chunk(event(acknowledged(message)))
    opening = message["method"] == "initialize"
    session = "Mcp-Session-Id: 4e0bd1d1a5f8\r\n" if opening else ""
    return events(session, text) if path.startswith("/legacy-sse/") else json_body(session, text)


def written(path, message):
    _, kind, tools = path.split("/")
    members = answer(kind.removesuffix("-sse"), message, int(tools))
    return compact({"jsonrpc": "2.0", "id": message["id"], **members}).encode()


def answer(era, message, tools):
    result = {"resultType": "complete"} if era == "modern" else {}
    match (era, message["method"]):
        case ("legacy", "initialize"):
            result |= {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, "serverInfo": SERVER}
        case ("modern", "server/discover"):
            result |= {"supportedVersions": [MODERN], "capabilities": CAPABILITIES, **FRESH}
            result |= {"_meta": {"io.modelcontextprotocol/serverInfo": SERVER}}
        case (_, "tools/list"):
            result |= {"tools": [tool(number) for number in range(tools)], **(FRESH if era == "modern" else {})}
        case (_, "tools/call"):
            text = message["params"]["arguments"]["text"]
            result |= {"content": [{"type": "text", "text": text}], "isError": False}
        case _:
            return {"error": {"code": -32601, "message": "no such method"}}
    return {"result": result}


def empty(status):
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()


def json_body(session, text):
    return b"HTTP/1.1 200 OK\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        session.encode(),
        len(text),
        text,
    )


def events(session, text):
    head = b"HTTP/1.1 200 OK\r\n%sContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" % session.encode()
    return head + chunk(event(text)) + b"0\r\n\r\n"


def event(text):
    return b"event: message\ndata: %s\n\n" % text


def chunk(piece):
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def acknowledged(message):
    """What a stream of changes begins with."""
    meta = {"io.modelcontextprotocol/subscriptionId": message["id"]}
    params = {"notifications": message["params"]["notifications"], "_meta": meta}
    told = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params}
    return compact(told).encode()


def on_stdio(path):
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" in message:
            sys.stdout.buffer.write(written(path, message) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    on_stdio(sys.argv[1])
