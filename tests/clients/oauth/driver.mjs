#!/usr/bin/env node
// Signs in with a TypeScript SDK's own OAuth client, lists and calls, waits until the token has expired, and calls again.
//
//   node driver.mjs '{"client": "ts-1.32" | "ts-2-auto" | …, "url": …, "wait": MILLISECONDS, "scope": …}'
//
// Prints `{"tools": […], "calls": […], "session": …}`. driver.py does the same with the Python SDKs.

const { client: name, url, wait, scope } = JSON.parse(process.argv[2]);
const modes = { 'ts-2-legacy': 'legacy', 'ts-2-auto': 'auto', 'ts-2-pin': { pin: '2026-07-28' } };
const second = name in modes;
const sdk = { 'ts-1.13': 'sdk-1-13' }[name] ?? '@modelcontextprotocol/sdk';
const { Client } = await import(second ? '@modelcontextprotocol/client' : `${sdk}/client/index.js`);
const { StreamableHTTPClientTransport } = await import(
    second ? '@modelcontextprotocol/client' : `${sdk}/client/streamableHttp.js`
);

/** Keeps in memory what a person's client keeps on disk, and is the browser. */
class Provider {
    redirectUrl = 'http://127.0.0.1:1/callback';
    clientMetadata = {
        client_name: name,
        redirect_uris: [this.redirectUrl],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
        // It came before servers said in their 401 what to ask for.
        ...(name === 'ts-1.13' && { scope })
    };
    clientInformation = () => this.information;
    saveClientInformation = information => (this.information = information);
    tokens = () => this.granted;
    saveTokens = tokens => (this.granted = tokens);
    codeVerifier = () => this.verifier;
    saveCodeVerifier = verifier => (this.verifier = verifier);
    async redirectToAuthorization(where) {
        const answer = await fetch(where, { redirect: 'manual' });
        this.callback = new URL(answer.headers.get('location')).searchParams;
    }
}

const authProvider = new Provider();
const connect = async () => {
    const options = second ? { versionNegotiation: { mode: modes[name] } } : {};
    const client = new Client({ name, version: '1' }, options);
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
    try {
        await client.connect(transport);
        return { client, transport };
    } catch (error) {
        if (authProvider.callback === undefined) throw error;
        const { callback } = authProvider;
        authProvider.callback = undefined;
        await transport.finishAuth(second ? callback : callback.get('code'));
        return connect();
    }
};

const { client, transport } = await connect();
const call = async () => (await client.callTool({ name: 'test_simple_text', arguments: {} })).content[0].text;
const tools = (await client.listTools()).tools.map(tool => tool.name);
const calls = [await call()];
const session = transport.sessionId;
await new Promise(wake => setTimeout(wake, wait));
calls.push(await call());
console.log(JSON.stringify({ tools, calls, same: session === transport.sessionId }));
process.exit(0);
