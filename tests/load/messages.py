"""What clients of both eras say."""

import json

LEGACY, MODERN = "2025-11-25", "2026-07-28"
CLIENT = {"name": "load", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def compact(message):
    return json.dumps(message, separators=(",", ":"))


def message(method, **params):
    return compact({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


INITIALIZE = message("initialize", protocolVersion=LEGACY, capabilities={}, clientInfo=CLIENT)


def asking(method, session=None, **params):
    """Headers and body of a request: inside a legacy session, or modern."""
    if session:
        return {"MCP-Protocol-Version": LEGACY, "Mcp-Session-Id": session}, message(method, **params)
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    if name := params.get("name"):
        headers["Mcp-Name"] = name
    return headers, message(method, **params, _meta=META)
