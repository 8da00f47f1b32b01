"""What clients and servers say in the cases of the whole path."""

import json

LEGACY, MODERN = "2025-11-25", "2026-07-28"
CLIENT = {"name": "count", "version": "1"}
TEXT = 200
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def request(method, **params):
    return compact({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


INITIALIZE = request("initialize", protocolVersion=LEGACY, capabilities={}, clientInfo=CLIENT)
INITIALIZED = compact({"jsonrpc": "2.0", "method": "notifications/initialized"})


def post(port, path, headers, body):
    """The bytes of a POST as ordinary clients write it."""
    head = {
        "Host": f"127.0.0.1:{port}",
        "User-Agent": "count/1",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **headers,
        "Content-Length": len(body),
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", body]).encode()


def tool(number):
    """A tool as a server of ordinary size describes its own: some 450 bytes."""
    return {
        "name": f"tool_{number}",
        "title": f"Search orders {number}",
        "description": "Finds the orders of a customer between two days, newest first, and says for each its number and sum.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "Name or number of the customer"},
                "since": {"type": "string", "format": "date"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
            },
            "required": ["text"],
        },
        "annotations": {"readOnlyHint": True},
    }
