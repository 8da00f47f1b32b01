"""Signs in with a Python SDK's own OAuth client, lists and calls, waits until the token has expired, and calls again.

python driver.py '{"client": "py-1" | "py-2-legacy" | "py-2-auto" | "py-2-pin", "url": …, "wait": MILLISECONDS}'
See driver.mjs for what is printed.
"""

import json
import sys
from contextlib import asynccontextmanager
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlparse
from urllib.request import HTTPRedirectHandler, build_opener

import anyio
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientMetadata

spec = json.loads(sys.argv[1])
NAME = spec["client"]
FIRST = NAME == "py-1"
MODE = None if FIRST else {"legacy": "legacy", "auto": "auto", "pin": "2026-07-28"}[NAME.rsplit("-", 1)[1]]


class Storage:
    """Keeps in memory what a person's client keeps on disk."""

    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Stay(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Browser:
    """Follows no redirect: it leads back to the client."""

    back = None

    def visit(self, url):
        try:
            build_opener(Stay).open(url)
        except HTTPError as answer:
            self.back = {name: values[0] for name, values in parse_qs(urlparse(answer.headers["location"]).query).items()}

    async def go(self, url):
        await anyio.to_thread.run_sync(self.visit, url)

    async def come_back(self):
        if FIRST:
            return self.back["code"], self.back.get("state")
        from mcp.shared.auth import AuthorizationCodeResult

        return AuthorizationCodeResult(code=self.back["code"], state=self.back.get("state"), iss=self.back.get("iss"))


@asynccontextmanager
async def connected(http):
    if FIRST:
        async with streamable_http_client(spec["url"], http_client=http) as streams:
            async with ClientSession(streams[0], streams[1]) as session:
                await session.initialize()
                yield session
        return
    from mcp import Client

    async with Client(streamable_http_client(spec["url"], http_client=http), mode=MODE) as client:
        yield client


async def main():
    browser = Browser()
    metadata = OAuthClientMetadata(
        client_name=NAME,
        redirect_uris=["http://127.0.0.1:1/callback"],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    auth = OAuthClientProvider(
        server_url=spec["url"],
        client_metadata=metadata,
        storage=Storage(),
        redirect_handler=browser.go,
        callback_handler=browser.come_back,
    )
    async with create_mcp_http_client(auth=auth) as http, connected(http) as client:

        async def call():
            result = await client.call_tool("test_simple_text", {})
            return result.content[0].text

        tools = [tool.name for tool in (await client.list_tools()).tools]
        calls = [await call()]
        await anyio.sleep(spec["wait"] / 1000)
        calls.append(await call())
        print(json.dumps({"tools": tools, "calls": calls, "same": True}), flush=True)


anyio.run(main)
