"""Does a script with a Python SDK's client, and prints what the client saw. See driver.mjs for the form of both.

python driver.py '{"client": "py-1" | "py-2-legacy" | "py-2-auto" | "py-2-pin", "target": …, "steps": […]}'
"""

import json
import os
import sys
from contextlib import asynccontextmanager
from importlib.metadata import version as version_of

import anyio

spec = json.loads(sys.argv[1])
CLIENT = spec["client"]
FIRST = version_of("mcp").startswith("1.")
assert FIRST == (CLIENT == "py-1"), f"{CLIENT} with mcp {version_of('mcp')}"
STEP_SECONDS = 20

if FIRST:
    from mcp import ClientSession, StdioServerParameters, types
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared.exceptions import McpError as Refused
else:
    import mcp_types as types
    from mcp import Client, MCPError as Refused, StdioServerParameters

asked: list = []
logs: list = []
notified: list = []


def plain(value):
    """A model as JSON; the wire's spelling, without what is absent."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.model_dump(by_alias=True, mode="json", exclude_none=True)


def answer(key, field):
    if "default" in field:
        return field["default"]
    if "enum" in field:
        return field["enum"][0]
    if "oneOf" in field:
        return field["oneOf"][0]["const"]
    if "items" in field:
        items = field["items"]
        return [items["enum"][0] if "enum" in items else items["anyOf"][0]["const"]]
    formats = {
        "date": "2026-01-02",
        "date-time": "2026-01-02T03:04:05Z",
        "email": "a@example.com",
        "uri": "https://example.com/",
    }
    if field.get("format") in formats:
        return formats[field["format"]]
    return {"string": f"my {key}", "integer": 7, "number": 1.5, "boolean": True}[field["type"]]


async def on_elicitation(_context, params):
    params = plain(params)
    schema = params.get("requestedSchema", {})
    asked.append({"elicitation": {"message": params["message"], "schema": schema}})
    content = {key: answer(key, field) for key, field in schema.get("properties", {}).items()}
    return types.ElicitResult(action="accept", content=content)


async def on_sampling(_context, params):
    params = plain(params)
    asked.append({"sampling": {"messages": params["messages"], "maxTokens": params["maxTokens"]}})
    return types.CreateMessageResult(
        role="assistant",
        model="a-model",
        content=types.TextContent(type="text", text="Sampled."),
        **({"stopReason": "endTurn"} if FIRST else {"stop_reason": "endTurn"}),
    )


async def on_roots(_context):
    asked.append({"roots": True})
    uris = spec.get("roots", ["file:///somewhere"])
    return types.ListRootsResult(roots=[types.Root(uri=uri, name="a root") for uri in uris])


async def on_log(params):
    logs.append({"level": params.level, "data": params.data})


async def on_message(message):
    message = getattr(message, "root", message)
    if isinstance(message, types.ResourceUpdatedNotification):
        notified.append(f"updated {message.params.uri}")
    elif isinstance(message, types.ToolListChangedNotification):
        notified.append("tools changed")


def stdio_parameters():
    target = spec["target"]
    return StdioServerParameters(
        command=target["command"],
        args=target["args"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **target.get("env", {})},
    )


@asynccontextmanager
async def connect():
    callbacks = {
        "sampling_callback": on_sampling,
        "elicitation_callback": on_elicitation,
        "list_roots_callback": on_roots,
        "logging_callback": on_log,
        "message_handler": on_message,
        "client_info": types.Implementation(name="sluice-client-test", version="1.0.0"),
    }
    if not FIRST:
        mode = {"py-2-legacy": "legacy", "py-2-auto": "auto", "py-2-pin": "2026-07-28"}[CLIENT]
        server = stdio_parameters() if "command" in spec["target"] else spec["target"]["url"]
        async with Client(server, mode=mode, log_level="info", **callbacks) as client:
            yield client
        return
    transport = stdio_client(stdio_parameters()) if "command" in spec["target"] else streamable_http_client(
        spec["target"]["url"]
    )
    async with transport as streams, ClientSession(streams[0], streams[1], **callbacks) as session:
        session.first_result = await session.initialize()
        yield session


async def until(what, ready):
    with anyio.move_on_after(10):
        while True:
            found = ready()
            if hasattr(found, "__await__"):
                found = await found
            if found:
                return
            await anyio.sleep(0.02)
    raise RuntimeError(f"{what}: not within 10 s")


class Script:
    def __init__(self, client):
        self.client = client
        self.session = client if FIRST else client.session
        self.modern = not FIRST and client.protocol_version == "2026-07-28"

    async def info(self, _step):
        if FIRST:
            result = self.client.first_result
            version, server = result.protocolVersion, result.serverInfo
            capabilities, instructions = result.capabilities, result.instructions
        else:
            version, server = self.client.protocol_version, self.client.server_info
            capabilities, instructions = self.client.server_capabilities, self.client.instructions
            if CLIENT == "py-2-pin":
                # A pinned client asks nothing at first; it knows no name and no capabilities.
                return {"version": version}
        server = plain(server)
        return {
            "version": version,
            "server": {key: server.get(key) for key in ("name", "version", "title")},
            "capabilities": plain(capabilities),
            "instructions": instructions,
        }

    async def pages(self, ask, key):
        items, cursor = [], None
        while True:
            if FIRST:
                page = await (ask() if cursor is None else ask(params=types.PaginatedRequestParams(cursor=cursor)))
            else:
                page = await ask(cursor=cursor)
            page = plain(page)
            items += page[key]
            cursor = page.get("nextCursor")
            if cursor is None:
                return items

    async def tools(self, _step):
        return await self.pages(self.client.list_tools, "tools")

    async def prompts(self, _step):
        return await self.pages(self.client.list_prompts, "prompts")

    async def resources(self, _step):
        return await self.pages(self.client.list_resources, "resources")

    async def templates(self, _step):
        return await self.pages(self.client.list_resource_templates, "resourceTemplates")

    async def call(self, step):
        seen = []
        asked.clear()
        logs.clear()

        async def on_progress(progress, total, message):
            seen.append({"progress": progress, "total": total, "message": message})

        result = plain(
            await self.client.call_tool(
                step["tool"],
                step.get("arguments", {}),
                **({"progress_callback": on_progress} if step.get("progress") else {}),
                **({"meta": step["meta"]} if "meta" in step else {}),
            )
        )
        if step.get("log"):
            await until("log messages", lambda: len(logs) >= 3)
        return {
            "content": result.get("content"),
            "structuredContent": result.get("structuredContent"),
            "isError": result.get("isError"),
            "_meta": result.get("_meta"),
            **({"progress": list(seen)} if step.get("progress") else {}),
            **({"logs": list(logs)} if step.get("log") else {}),
            **({"asked": list(asked)} if asked else {}),
        }

    async def calls(self, step):
        results = [None] * len(step["each"])

        async def one(n, arguments):
            results[n] = plain(await self.client.call_tool(step["tool"], arguments))["content"]

        async with anyio.create_task_group() as group:
            for n, arguments in enumerate(step["each"]):
                group.start_soon(one, n, arguments)
        return results

    async def size(self, step):
        text = (await self.call(step))["content"][0]["text"]
        return {"length": len(text), "same": text.strip("x") == ""}

    async def read(self, step):
        return plain(await self.client.read_resource(step["uri"]))["contents"]

    async def prompt(self, step):
        asked.clear()
        result = plain(await self.client.get_prompt(step["prompt"], step.get("arguments")))
        return {
            "messages": result["messages"],
            "description": result.get("description"),
            **({"asked": list(asked)} if asked else {}),
        }

    async def complete(self, step):
        ref = step["ref"]
        kinds = {"ref/prompt": types.PromptReference, "ref/resource": types.ResourceTemplateReference}
        argument = {"name": step["argument"]["name"], "value": step["argument"]["value"]}
        return plain(await self.client.complete(kinds[ref["type"]](**ref), argument))["completion"]

    async def ping(self, _step):
        if self.modern:
            return "none in this era"
        return plain(await self.client.send_ping())

    async def level(self, step):
        if self.modern:
            return "none in this era"
        return plain(await self.client.set_logging_level(step["level"]))

    async def subscribe(self, step):
        uri, touch = step["uri"], step["touch"]

        async def touched():
            await self.client.call_tool(touch, {"uri": step["other"]})
            await self.client.call_tool(touch, {"uri": uri})
            await until("resource update", lambda: f"updated {uri}" in notified)

        notified.clear()
        if self.modern:
            async with self.client.listen(resource_subscriptions=[uri]):
                await touched()
        else:
            await self.client.subscribe_resource(uri)
            await touched()
            await self.client.unsubscribe_resource(uri)
        seen = list(notified)
        # Nothing tells when the end of a subscription has arrived.
        await anyio.sleep(0.15)
        notified.clear()
        await self.client.call_tool(touch, {"uri": uri})
        await anyio.sleep(0.15)
        return {"seen": seen, "after": list(notified)}

    async def changed(self, step):
        notified.clear()

        async def cause():
            await self.client.call_tool(step["tool"], {})
            await until("change of a list", lambda: step["hears"] in notified)

        if self.modern:
            async with self.client.listen(tools_list_changed=True):
                await cause()
        else:
            await cause()
        return list(notified)

    async def stats(self):
        return json.loads(plain(await self.client.call_tool("test_stats", {}))["content"][0]["text"])

    async def cancel(self, _step):
        before = await self.stats()
        scope = anyio.CancelScope()
        request_ids = []

        async def slow():
            if FIRST:
                request_ids.append(self.session._request_id)
            with scope:
                try:
                    await self.client.call_tool("test_slow", {"ms": 60_000})
                except Refused:
                    pass

        async def begun():
            return (await self.stats())["started"] > before["started"]

        async def arrived():
            return (await self.stats())["cancelled"] > before["cancelled"]

        async with anyio.create_task_group() as group:
            group.start_soon(slow)
            await until("the slow call begins", begun)
            if FIRST:
                # This SDK leaves the notification to the application.
                params = types.CancelledNotificationParams(requestId=request_ids[0], reason="no longer wanted")
                await self.session.send_notification(
                    types.ClientNotification(types.CancelledNotification(params=params))
                )
            else:
                scope.cancel()
            await until("the cancellation arrives", arrived)
            group.cancel_scope.cancel()
        after = await self.stats()
        return {
            "cancelled": after["cancelled"] - before["cancelled"],
            "finished": after["finished"] - before["finished"],
        }


async def main():
    transcript = []
    async with connect() as client:
        script = Script(client)
        for step in spec["steps"]:
            if CLIENT in step.get("not", []) or CLIENT not in step.get("only", [CLIENT]):
                continue
            try:
                with anyio.fail_after(STEP_SECONDS):
                    result = await getattr(script, step["op"])(step)
            except Refused as error:
                detail = error.error
                result = {"error": {"code": detail.code, "message": detail.message, "data": detail.data}}
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the transcript
                while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
                    error = error.exceptions[0]
                result = {"error": {"code": type(error).__name__, "message": str(error)}}
            transcript.append([step.get("name", step["op"]), result])
    return transcript


print(json.dumps({"transcript": anyio.run(main)}))
