"""Does a script with a Python client, and prints what the client saw. See driver.mjs for the form of both.

python driver.py '{"client": "py-1" | "py-2-legacy" | "py-2-auto" | "py-2-pin" | "fastmcp-legacy" | "fastmcp-auto" |
                   "fastmcp-pin", "target": …, "steps": […]}'
"""

import json
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version as version_of

import anyio

spec = json.loads(sys.argv[1])
CLIENT = spec["client"]
FAST = CLIENT.startswith("fastmcp")
FIRST = version_of("mcp").startswith("1.")
assert FIRST == (CLIENT == "py-1"), f"{CLIENT} with mcp {version_of('mcp')}"
MODE = None if FIRST else {"legacy": "legacy", "auto": "auto", "pin": "2026-07-28"}[CLIENT.rsplit("-", 1)[1]]
STEP_SECONDS = 20

if FIRST:
    from mcp import ClientSession, StdioServerParameters, types
    from mcp.client.sse import sse_client
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared.exceptions import McpError as Refused
elif FAST:
    import fastmcp
    import mcp_types as types
    from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
    from mcp import MCPError as Refused
else:
    import mcp_types as types
    from mcp import Client, MCPError as Refused, StdioServerParameters


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


class Heard:
    """What one connection's server asked and told."""

    def __init__(self):
        self.asked: list = []
        self.logs: list = []
        self.notified: list = []

    async def on_elicitation(self, _context, params):
        params = plain(params)
        schema = params.get("requestedSchema", {})
        self.asked.append({"elicitation": {"message": params["message"], "schema": schema}})
        content = {key: answer(key, field) for key, field in schema.get("properties", {}).items()}
        return types.ElicitResult(action="accept", content=content)

    async def on_sampling(self, _context, params):
        params = plain(params)
        self.asked.append({"sampling": {"messages": params["messages"], "maxTokens": params["maxTokens"]}})
        return types.CreateMessageResult(
            role="assistant",
            model="a-model",
            content=types.TextContent(type="text", text="Sampled."),
            **({"stopReason": "endTurn"} if FIRST else {"stop_reason": "endTurn"}),
        )

    def roots(self):
        self.asked.append({"roots": True})
        uris = spec.get("roots", ["file:///somewhere"])
        return [types.Root(uri=uri, name="a root") for uri in uris]

    async def on_roots(self, _context):
        return types.ListRootsResult(roots=self.roots())

    async def on_log(self, params):
        self.logs.append({"level": params.level, "data": params.data})

    async def on_message(self, message):
        message = getattr(message, "root", message)
        if isinstance(message, types.ResourceUpdatedNotification):
            self.notified.append(f"updated {message.params.uri}")
        elif isinstance(message, types.ToolListChangedNotification):
            self.notified.append("tools changed")


def environment(target):
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **target.get("env", {})}


@asynccontextmanager
async def connect(target, heard):
    info = types.Implementation(name="sluice-client-test", version="1.0.0")
    url = target.get("url")
    over_sse = url is not None and url.endswith("/sse")
    if FAST:
        if url is None:
            command, arguments = target["command"], target["args"]
            transport = StdioTransport(command, arguments, env=environment(target), keep_alive=False)
        else:
            transport = SSETransport(url) if over_sse else StreamableHttpTransport(url)

        async def elicitation(_message, _type, params, context):
            return await heard.on_elicitation(context, params)

        async def sampling(_messages, params, context):
            return await heard.on_sampling(context, params)

        async with fastmcp.Client(
            transport,
            mode=MODE,
            client_info=info,
            roots=lambda _context: heard.roots(),
            sampling_handler=sampling,
            elicitation_handler=elicitation,
            log_handler=heard.on_log,
            message_handler=heard.on_message,
        ) as client:
            yield client
        return
    callbacks = {
        "sampling_callback": heard.on_sampling,
        "elicitation_callback": heard.on_elicitation,
        "list_roots_callback": heard.on_roots,
        "logging_callback": heard.on_log,
        "message_handler": heard.on_message,
        "client_info": info,
    }
    program = None
    if url is None:
        program = StdioServerParameters(command=target["command"], args=target["args"], env=environment(target))
    if not FIRST:
        async with Client(program or url, mode=MODE, log_level="info", **callbacks) as client:
            yield client
        return
    if program is not None:
        transport = stdio_client(program)
    else:
        transport = sse_client(url) if over_sse else streamable_http_client(url)
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


PROGRESS = "progress_handler" if FAST else "progress_callback"


class Script:
    """The operations, with one connected client. FastMCP has names of its own for some, and its results are parsed."""

    def __init__(self, client, heard, took):
        self.client = client
        self.took = took
        self.heard = heard
        self.session = client if FIRST else client.session
        self.modern = not FIRST and client.protocol_version == "2026-07-28"
        if FAST:
            self.call_tool, self.read_resource = client.call_tool_mcp, client.read_resource_mcp
            self.get_prompt, self.complete_argument = client.get_prompt_mcp, client.complete_mcp
            self.list_tools, self.list_prompts = client.list_tools_mcp, client.list_prompts_mcp
            self.list_resources = client.list_resources_mcp
            self.list_resource_templates = client.list_resource_templates_mcp
            self.send_ping = client.session.send_ping
        else:
            self.call_tool, self.read_resource = client.call_tool, client.read_resource
            self.get_prompt, self.complete_argument = client.get_prompt, client.complete
            self.list_tools, self.list_prompts = client.list_tools, client.list_prompts
            self.list_resources = client.list_resources
            self.list_resource_templates = client.list_resource_templates
            self.send_ping = client.send_ping

    async def info(self, _step):
        if FIRST:
            result = self.client.first_result
            version, server = result.protocolVersion, result.serverInfo
            capabilities, instructions = result.capabilities, result.instructions
        else:
            version, server = self.client.protocol_version, self.client.server_info
            capabilities, instructions = self.client.server_capabilities, self.client.instructions
            if MODE == "2026-07-28":
                # A pinned client asks nothing at first; it knows no name and no capabilities.
                return {"version": version}
        server = plain(server)
        return {
            "took": self.took,
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

    async def all(self, ask, key, step):
        """A whole list. One that is to have `atLeast` so many items may be short at first, while a server starts."""
        deadline = anyio.current_time() + STEP_SECONDS - 3
        while True:
            items = await self.pages(ask, key)
            if len(items) >= step.get("atLeast", 0) or anyio.current_time() > deadline:
                return items
            await anyio.sleep(0.05)

    async def tools(self, step):
        return await self.all(self.list_tools, "tools", step)

    async def prompts(self, step):
        return await self.all(self.list_prompts, "prompts", step)

    async def resources(self, step):
        return await self.all(self.list_resources, "resources", step)

    async def templates(self, step):
        return await self.all(self.list_resource_templates, "resourceTemplates", step)

    async def uri_of(self, meant):
        """The URI a step means: as written, or as it is listed, found by its name. See driver.mjs."""
        if isinstance(meant, str):
            return meant
        if "resource" in meant:
            named, field, name = await self.pages(self.list_resources, "resources"), "uri", meant["resource"]
        else:
            named = await self.pages(self.list_resource_templates, "resourceTemplates")
            field, name = "uriTemplate", meant["template"]
        found = [item[field] for item in named if item["name"] == name]
        if len(found) > 1:
            found = [uri for uri in found if meant["server"] in uri]
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} have the name {name}")
        uri = found[0]
        for key, value in meant.get("values", {}).items():
            uri = uri.replace("{" + key + "}", value)
        return uri

    async def contents(self, uri):
        """The contents of a resource; the URI asked for is told from any other, and not by its spelling."""
        contents = plain(await self.read_resource(uri))["contents"]
        return [{**part, "uri": "‹as asked›" if part["uri"] == uri else part["uri"]} for part in contents]

    async def call(self, step):
        seen = []
        asked, logs = self.heard.asked, self.heard.logs
        asked.clear()
        logs.clear()

        async def on_progress(progress, total, message):
            seen.append({"progress": progress, "total": total, "message": message})

        result = plain(
            await self.call_tool(
                step["tool"],
                step.get("arguments", {}),
                **({PROGRESS: on_progress} if step.get("progress") else {}),
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
        return await self.together({"each": [{"tool": step["tool"], "arguments": each} for each in step["each"]]})

    async def together(self, step):
        results = [None] * len(step["each"])

        async def one(n, each):
            results[n] = plain(await self.call_tool(each["tool"], each["arguments"]))["content"]

        async with anyio.create_task_group() as group:
            for n, each in enumerate(step["each"]):
                group.start_soon(one, n, each)
        return results

    async def size(self, step):
        text = (await self.call(step))["content"][0]["text"]
        return {"length": len(text), "same": text.strip("x") == ""}

    async def read(self, step):
        return await self.contents(await self.uri_of(step["uri"]))

    async def reads(self, step):
        resources = await self.pages(self.list_resources, "resources")
        uris = [item["uri"] for item in resources if item["name"] == step["resource"]]
        return {"distinct": len(set(uris)), "contents": [await self.contents(uri) for uri in uris]}

    async def links(self, step):
        content = (await self.call(step))["content"]
        uris = [part.get("uri") or part.get("resource", {}).get("uri") for part in content]
        uris = [uri for uri in uris if uri is not None]
        contents = [await self.contents(uri) for uri in uris]
        return {"content": content, "distinct": len(set(uris)), "contents": contents}

    async def prompt(self, step):
        asked = self.heard.asked
        asked.clear()
        result = plain(await self.get_prompt(step["prompt"], step.get("arguments")))
        return {
            "messages": result["messages"],
            "description": result.get("description"),
            **({"asked": list(asked)} if asked else {}),
        }

    async def complete(self, step):
        ref = {**step["ref"]}
        if "uri" in ref:
            ref["uri"] = await self.uri_of(ref["uri"])
        kinds = {"ref/prompt": types.PromptReference, "ref/resource": types.ResourceTemplateReference}
        argument = {"name": step["argument"]["name"], "value": step["argument"]["value"]}
        return plain(await self.complete_argument(kinds[ref["type"]](**ref), argument))["completion"]

    async def ping(self, _step):
        if self.modern:
            return "none in this era"
        return plain(await self.send_ping())

    async def level(self, step):
        if self.modern:
            return "none in this era"
        result = await self.client.set_logging_level(step["level"])
        return {} if result is None else plain(result)

    async def subscribe(self, step):
        uri, touch, notified = await self.uri_of(step["uri"]), step["touch"], self.heard.notified

        async def touched():
            await self.call_tool(touch, {"uri": step["other"]})
            await self.call_tool(touch, {"uri": step["touched"]})
            await until("resource update", lambda: f"updated {uri}" in notified)

        def seen():
            lines = ["updated as asked" if line == f"updated {uri}" else line for line in notified]
            notified.clear()
            return lines

        notified.clear()
        if self.modern:
            async with self.client.listen(resource_subscriptions=[uri]):
                await touched()
        else:
            await self.session.subscribe_resource(uri)
            await touched()
            await self.session.unsubscribe_resource(uri)
        during = seen()
        # Nothing tells when the end of a subscription has arrived.
        await anyio.sleep(0.15)
        notified.clear()
        await self.call_tool(touch, {"uri": step["touched"]})
        await anyio.sleep(0.15)
        return {"seen": during, "after": seen()}

    async def updates(self, step):
        uri = await self.uri_of(step["uri"])
        await self.session.subscribe_resource(uri)
        await self.call_tool(step["toggle"], {})
        await until("resource update", lambda: f"updated {uri}" in self.heard.notified)
        await self.call_tool(step["toggle"], {})
        await self.session.unsubscribe_resource(uri)
        return "updated as asked"

    async def changed(self, step):
        notified = self.heard.notified
        notified.clear()

        async def cause():
            await self.call_tool(step["tool"], {})
            await until("change of a list", lambda: step["hears"] in notified)

        if self.modern:
            async with self.client.listen(tools_list_changed=True):
                await cause()
        else:
            await cause()
        return sorted(set(notified))

    async def stats(self, tool):
        return json.loads(plain(await self.call_tool(tool, {}))["content"][0]["text"])

    async def cancel(self, step):
        before = await self.stats(step["stats"])
        scope = anyio.CancelScope()
        request_ids = []

        async def slow():
            if FIRST:
                request_ids.append(self.session._request_id)
            with scope:
                try:
                    await self.call_tool(step["slow"], {"ms": 60_000})
                except Refused:
                    pass

        async def begun():
            return (await self.stats(step["stats"]))["started"] > before["started"]

        async def arrived():
            return (await self.stats(step["stats"]))["cancelled"] > before["cancelled"]

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
        after = await self.stats(step["stats"])
        return {
            "cancelled": after["cancelled"] - before["cancelled"],
            "finished": after["finished"] - before["finished"],
        }


async def main():
    transcript = []
    async with AsyncExitStack() as stack:
        scripts = {}
        for name, target in (spec.get("targets") or {"": spec["target"]}).items():
            heard, began = Heard(), anyio.current_time()
            client = await stack.enter_async_context(connect(target, heard))
            scripts[name] = Script(client, heard, round(1000 * (anyio.current_time() - began)))
        for step in spec["steps"]:
            if CLIENT in step.get("not", []) or CLIENT not in step.get("only", [CLIENT]):
                continue
            script = scripts.get(step.get("server")) or scripts[""]
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
