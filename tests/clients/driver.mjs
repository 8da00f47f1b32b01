#!/usr/bin/env node
// Does a script with a TypeScript SDK's client, and prints what the client saw.
//
//   node driver.mjs '{"client": "ts-1.32", "target": {"url": …} | {"command": …, "args": […], "env": {…}},
//                     "roots": ["file:///…"], "steps": [{"name": …, "op": …, …}]}'
//
// `targets` instead of `target` names several, and each step says its `server`. A URL that ends in /sse is spoken to
// over HTTP+SSE, ws:// over WebSocket, any other over streamable HTTP. The client `mcp-remote` is an SDK's client that
// starts mcp-remote and speaks to it on stdio.
//
// Prints `{"transcript": [[name, result], …]}`. Results hold only what a person would compare: a run through
// Sluice must give what a direct run gives. driver.py does the same for the Python clients.

import { fileURLToPath } from 'node:url';

const spec = JSON.parse(process.argv[2]);
const packageOf = {
    'ts-1.32': '@modelcontextprotocol/sdk',
    'ts-1.13': 'sdk-1-13',
    'ts-1.12': 'sdk-1-12',
    'ts-1.10': 'sdk-1-10',
    'ts-1.4': 'sdk-1-4',
    'mcp-remote': '@modelcontextprotocol/sdk'
};
const modes = { 'ts-2-legacy': 'legacy', 'ts-2-auto': 'auto', 'ts-2-pin': { pin: '2026-07-28' } };
const second = spec.client in modes;
const elicits = !['ts-1.4', 'ts-1.10', 'ts-1.12'].includes(spec.client);
const elicitsUrls = second || packageOf[spec.client] === '@modelcontextprotocol/sdk';
const STEP_MS = 20_000;

const sleep = ms => new Promise(wake => setTimeout(wake, ms));
async function until(what, ready) {
    const deadline = Date.now() + 10_000;
    while (!(await ready())) {
        if (Date.now() > deadline) throw new Error(`${what}: not within 10 s`);
        await sleep(20);
    }
}

/** What a person or model at this client answers, made from the question so that it shows in the result. */
const handlers = ({ asked }) => ({
    'elicitation/create': ({ params }) => {
        asked.push({ elicitation: { message: params.message, schema: params.requestedSchema, url: params.url } });
        if (params.mode === 'url') return { action: 'accept' };
        const content = {};
        for (const [key, field] of Object.entries(params.requestedSchema.properties))
            content[key] =
                field.default ??
                field.enum?.[0] ??
                field.oneOf?.[0].const ??
                { string: `my ${key}`, integer: 7, number: 1.5, boolean: true }[field.type] ??
                [field.items?.enum?.[0] ?? field.items?.anyOf?.[0].const];
        for (const [key, field] of Object.entries(params.requestedSchema.properties))
            if (['date', 'date-time', 'email', 'uri'].includes(field.format))
                content[key] = {
                    date: '2026-01-02',
                    'date-time': '2026-01-02T03:04:05Z',
                    email: 'a@example.com',
                    uri: 'https://example.com/'
                }[field.format];
        return { action: 'accept', content };
    },
    'sampling/createMessage': ({ params }) => {
        asked.push({ sampling: { messages: params.messages, maxTokens: params.maxTokens } });
        const content = { type: 'text', text: 'Sampled.' };
        return { role: 'assistant', model: 'a-model', stopReason: 'endTurn', content };
    },
    'roots/list': () => {
        asked.push({ roots: true });
        return { roots: (spec.roots ?? ['file:///somewhere']).map(uri => ({ uri, name: 'a root' })) };
    }
});

const listeners = ({ logs, notified }) => ({
    'notifications/message': ({ params }) => logs.push({ level: params.level, data: params.data }),
    'notifications/resources/updated': ({ params }) => notified.push(`updated ${params.uri}`),
    'notifications/tools/list_changed': () => notified.push('tools changed'),
    'notifications/prompts/list_changed': () => notified.push('prompts changed')
});

/** The program that a client with stdio starts, if it does. */
function program(target) {
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...target.env };
    if (target.command) return { command: target.command, args: target.args, env, stderr: 'inherit' };
    if (spec.client !== 'mcp-remote') return undefined;
    const bridge = fileURLToPath(import.meta.resolve('mcp-remote/dist/proxy.js'));
    const strategy = target.url.endsWith('/sse') ? 'sse-only' : 'http-only';
    return {
        command: process.execPath,
        args: [bridge, target.url, '--transport', strategy, '--silent'],
        env: { ...env, MCP_REMOTE_CONFIG_DIR: spec.scratch },
        stderr: 'inherit'
    };
}

async function transportOf(target, sdk) {
    const stdio = program(target);
    if (second) {
        const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
        const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
        return stdio ? new StdioClientTransport(stdio) : new StreamableHTTPClientTransport(new URL(target.url));
    }
    if (stdio) return new (await import(`${sdk}/client/stdio.js`)).StdioClientTransport(stdio);
    const url = new URL(target.url);
    if (url.protocol === 'ws:') return new (await import(`${sdk}/client/websocket.js`)).WebSocketClientTransport(url);
    if (url.pathname.endsWith('/sse')) return new (await import(`${sdk}/client/sse.js`)).SSEClientTransport(url);
    return new (await import(`${sdk}/client/streamableHttp.js`)).StreamableHTTPClientTransport(url);
}

/** A client that is connected to `target`, with what it was asked and told. */
async function connect(target) {
    const heard = { asked: [], logs: [], notified: [] };
    const info = { name: 'sluice-client-test', version: '1.0.0' };
    const capabilities = {
        sampling: {},
        roots: { listChanged: true },
        ...(elicits && { elicitation: elicitsUrls ? { form: {}, url: {} } : {} })
    };
    if (second) {
        const { Client } = await import('@modelcontextprotocol/client');
        const client = new Client(info, { capabilities, versionNegotiation: { mode: modes[spec.client] } });
        for (const [method, handler] of Object.entries(handlers(heard))) client.setRequestHandler(method, handler);
        for (const [method, handler] of Object.entries(listeners(heard)))
            client.setNotificationHandler(method, handler);
        await client.connect(await transportOf(target));
        const modern = client.getProtocolEra() === 'modern';
        return { client, modern, version: () => client.getNegotiatedProtocolVersion(), ...heard };
    }
    const sdk = packageOf[spec.client];
    const { Client } = await import(`${sdk}/client/index.js`);
    const types = await import(`${sdk}/types.js`);
    const client = new Client(info, { capabilities });
    const schemas = {
        'elicitation/create': types.ElicitRequestSchema,
        'sampling/createMessage': types.CreateMessageRequestSchema,
        'roots/list': types.ListRootsRequestSchema,
        'notifications/message': types.LoggingMessageNotificationSchema,
        'notifications/resources/updated': types.ResourceUpdatedNotificationSchema,
        'notifications/tools/list_changed': types.ToolListChangedNotificationSchema,
        'notifications/prompts/list_changed': types.PromptListChangedNotificationSchema
    };
    for (const [method, handler] of Object.entries(handlers(heard)))
        if (schemas[method]) client.setRequestHandler(schemas[method], handler);
    for (const [method, handler] of Object.entries(listeners(heard)))
        client.setNotificationHandler(schemas[method], handler);
    const transport = await transportOf(target, sdk);
    let version;
    transport.setProtocolVersion = (original => value => {
        version = value;
        original?.call(transport, value);
    })(transport.setProtocolVersion);
    await client.connect(transport);
    return { client, modern: false, version: () => version, ...heard };
}

async function call(peer, { tool, arguments: args, progress, log, meta }, options = {}) {
    const { client, modern, asked, logs } = peer;
    const seen = [];
    asked.length = 0;
    logs.length = 0;
    const params = { name: tool, arguments: args ?? {}, ...(meta && { _meta: { ...meta } }) };
    if (log && modern) params._meta = { ...meta, 'io.modelcontextprotocol/logLevel': log };
    if (progress)
        options.onprogress = ({ progress: value, total, message }) => seen.push({ progress: value, total, message });
    const result = second ? await client.callTool(params, options) : await client.callTool(params, undefined, options);
    // Messages of the older era may come on another stream than the result.
    if (log) await until('log messages', () => logs.length >= 3);
    return {
        content: result.content,
        structuredContent: result.structuredContent,
        isError: result.isError,
        _meta: result._meta,
        ...(progress && { progress: seen }),
        ...(log && { logs: logs.splice(0) }),
        ...(asked.length > 0 && { asked: asked.splice(0) })
    };
}

async function pages(list, key) {
    const items = [];
    let cursor;
    do {
        const page = await list(cursor === undefined ? {} : { cursor });
        items.push(...page[key]);
        cursor = page.nextCursor;
    } while (cursor !== undefined);
    return items;
}

/** A whole list. One that is to have `atLeast` so many items may be short at first, for as long as a server starts. */
async function all(list, key, atLeast = 0) {
    const deadline = Date.now() + STEP_MS - 3_000;
    for (;;) {
        const items = await pages(list, key);
        if (items.length >= atLeast || Date.now() > deadline) return items;
        await sleep(50);
    }
}

/**
 * The URI a step means: as written, or as it is listed: `{resource: NAME, server}`, or `{template: NAME, server,
 * values}` with the values filled in. Where several servers have the name, the server's is in the URI.
 */
async function uriOf({ client }, meant) {
    if (typeof meant === 'string') return meant;
    const { resource, template, server, values = {} } = meant;
    const named =
        resource === undefined
            ? await pages(params => client.listResourceTemplates(params), 'resourceTemplates')
            : await pages(params => client.listResources(params), 'resources');
    const same = named.filter(({ name }) => name === (resource ?? template));
    const found = same.length > 1 ? same.filter(item => (item.uri ?? item.uriTemplate).includes(server)) : same;
    if (found.length !== 1) throw new Error(`${found.length} have the name ${resource ?? template}`);
    let uri = found[0].uri ?? found[0].uriTemplate;
    for (const [key, value] of Object.entries(values)) uri = uri.replace(`{${key}}`, value);
    return uri;
}

/** The contents of a resource; the URI asked for is told from any other, and not by its spelling. */
async function read({ client }, uri) {
    const { contents } = await client.readResource({ uri });
    return contents.map(part => ({ ...part, uri: part.uri === uri ? '‹as asked›' : part.uri }));
}

const statsOf = async (peer, tool) => JSON.parse((await call(peer, { tool })).content[0].text);

const operations = {
    info({ client, version, took }) {
        const server = client.getServerVersion();
        return {
            took,
            version: version(),
            server: server && { name: server.name, version: server.version, title: server.title },
            capabilities: client.getServerCapabilities(),
            instructions: client.getInstructions()
        };
    },
    tools: ({ client }, { atLeast }) => all(params => client.listTools(params), 'tools', atLeast),
    prompts: ({ client }, { atLeast }) => all(params => client.listPrompts(params), 'prompts', atLeast),
    resources: ({ client }, { atLeast }) => all(params => client.listResources(params), 'resources', atLeast),
    templates: ({ client }, { atLeast }) =>
        all(params => client.listResourceTemplates(params), 'resourceTemplates', atLeast),
    call,
    async calls({ client }, { tool, each }) {
        const results = await Promise.all(
            each.map(args =>
                second
                    ? client.callTool({ name: tool, arguments: args })
                    : client.callTool({ name: tool, arguments: args }, undefined, {})
            )
        );
        return results.map(({ content }) => content);
    },
    /** Calls of several tools at once, each answered by its own server. */
    async together({ client }, { each }) {
        const results = await Promise.all(
            each.map(({ tool, arguments: args }) =>
                second
                    ? client.callTool({ name: tool, arguments: args })
                    : client.callTool({ name: tool, arguments: args }, undefined, {})
            )
        );
        return results.map(({ content }) => content);
    },
    async size(peer, step) {
        const { content } = await call(peer, step);
        return { length: content[0].text.length, same: /^x*$/.test(content[0].text) };
    },
    read: async (peer, { uri }) => read(peer, await uriOf(peer, uri)),
    /** Reads every resource of a name; several servers may have one each. */
    async reads(peer, { resource }) {
        const resources = await pages(params => peer.client.listResources(params), 'resources');
        const uris = resources.filter(({ name }) => name === resource).map(({ uri }) => uri);
        const contents = [];
        for (const uri of uris) contents.push(await read(peer, uri));
        return { distinct: new Set(uris).size, contents };
    },
    /** Reads every resource that a tool's result links to or embeds. */
    async links(peer, step) {
        const { content } = await call(peer, step);
        const uris = content.map(part => part.uri ?? part.resource?.uri).filter(uri => uri !== undefined);
        const contents = [];
        for (const uri of uris) contents.push(await read(peer, uri));
        return { content, distinct: new Set(uris).size, contents };
    },
    async prompt({ client, asked }, { prompt, arguments: args }) {
        asked.length = 0;
        const { messages, description } = await client.getPrompt({ name: prompt, arguments: args });
        return { messages, description, ...(asked.length > 0 && { asked: asked.splice(0) }) };
    },
    async complete(peer, { ref, argument }) {
        const meant = ref.uri === undefined ? ref : { ...ref, uri: await uriOf(peer, ref.uri) };
        return (await peer.client.complete({ ref: meant, argument })).completion;
    },
    async ping({ client, modern }) {
        if (modern) return 'none in this era';
        return await client.ping();
    },
    async level({ client, modern }, { level }) {
        if (modern) return 'none in this era';
        return await client.setLoggingLevel(level);
    },
    /** Subscribes, causes changes of this and of another resource, and sees only the first. */
    async subscribe(peer, { uri: meant, touch, touched, other }) {
        const { client, modern, notified } = peer;
        const uri = await uriOf(peer, meant);
        const seen = () => notified.splice(0).map(line => (line === `updated ${uri}` ? 'updated as asked' : line));
        notified.length = 0;
        let subscription;
        if (modern) subscription = await client.listen({ resourceSubscriptions: [uri] });
        else await client.subscribeResource({ uri });
        await call(peer, { tool: touch, arguments: { uri: other } });
        await call(peer, { tool: touch, arguments: { uri: touched } });
        await until('resource update', () => notified.includes(`updated ${uri}`));
        const during = seen();
        if (modern) await subscription.close();
        else await client.unsubscribeResource({ uri });
        // Nothing tells when the end of a subscription has arrived.
        await sleep(150);
        await call(peer, { tool: touch, arguments: { uri: touched } });
        await sleep(150);
        return { seen: during, after: seen() };
    },
    /** Subscribes, switches the server's own updates on, and hears of this resource under the name it has here. */
    async updates(peer, { uri: meant, toggle }) {
        const uri = await uriOf(peer, meant);
        await peer.client.subscribeResource({ uri });
        await call(peer, { tool: toggle });
        await until('resource update', () => peer.notified.includes(`updated ${uri}`));
        await call(peer, { tool: toggle });
        await peer.client.unsubscribeResource({ uri });
        return 'updated as asked';
    },
    /** Hears that a list changed. */
    async changed(peer, { tool, hears, listen }) {
        const { client, modern, notified } = peer;
        notified.length = 0;
        const subscription = modern ? await client.listen(listen) : undefined;
        await call(peer, { tool });
        await until('change of a list', () => notified.includes(hears));
        await subscription?.close();
        return [...new Set(notified.splice(0))];
    },
    /** Cancels a call that has begun, and sees that the server noticed. */
    async cancel(peer, { slow, stats }) {
        const before = await statsOf(peer, stats);
        const controller = new AbortController();
        const pending = call(peer, { tool: slow, arguments: { ms: 60_000 } }, { signal: controller.signal }).then(
            () => 'answered',
            () => 'rejected'
        );
        await until('the slow call begins', async () => (await statsOf(peer, stats)).started > before.started);
        controller.abort('no longer wanted');
        const ended = await pending;
        await until('the cancellation arrives', async () => (await statsOf(peer, stats)).cancelled > before.cancelled);
        const after = await statsOf(peer, stats);
        return { ended, cancelled: after.cancelled - before.cancelled, finished: after.finished - before.finished };
    },
    /** A tool of the older era that is only called as a task. */
    async task({ client }, { tool, arguments: args }) {
        const seen = [];
        let result;
        for await (const message of client.experimental.tasks.callToolStream({ name: tool, arguments: args })) {
            if (message.type === 'result') result = message.result;
            else if (message.type === 'error') throw message.error;
            else if (seen.at(-1) !== message.type) seen.push(message.type);
        }
        return { seen, content: result.content.map(({ type }) => type) };
    }
};

const late = what =>
    sleep(STEP_MS).then(() => {
        throw new Error(`${what} within ${STEP_MS} ms`);
    });
const peers = new Map(
    await Promise.all(
        Object.entries(spec.targets ?? { '': spec.target }).map(async ([name, target]) => {
            const began = Date.now();
            const peer = await Promise.race([connect(target), late('not connected')]);
            return [name, { ...peer, took: Date.now() - began }];
        })
    )
);
const transcript = [];
for (const step of spec.steps) {
    if (step.only && !step.only.includes(spec.client)) continue;
    if (step.not?.includes(spec.client)) continue;
    if (step.elicits && !elicits) continue;
    let result;
    try {
        const peer = peers.get(step.server) ?? peers.get('');
        result = await Promise.race([operations[step.op](peer, step), late('no end')]);
    } catch (error) {
        result = { error: { code: error.code, message: error.message, data: error.data } };
    }
    transcript.push([step.name ?? step.op, result]);
}
await Promise.race([Promise.all([...peers.values()].map(({ client }) => client.close())), sleep(5_000)]);
process.stdout.write(JSON.stringify({ transcript }) + '\n', () => process.exit(0));
