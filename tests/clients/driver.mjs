#!/usr/bin/env node
// Does a script with a TypeScript SDK's client, and prints what the client saw.
//
//   node driver.mjs '{"client": "ts-1.32", "target": {"url": …} | {"command": …, "args": […], "env": {…}},
//                     "roots": ["file:///…"], "steps": [{"name": …, "op": …, …}]}'
//
// Prints `{"transcript": [[name, result], …]}`. Results hold only what a person would compare: a run through
// Sluice must give what a direct run gives. driver.py does the same for the Python SDKs.

const spec = JSON.parse(process.argv[2]);
const packageOf = {
    'ts-1.32': '@modelcontextprotocol/sdk',
    'ts-1.13': 'sdk-1-13',
    'ts-1.12': 'sdk-1-12',
    'ts-1.10': 'sdk-1-10'
};
const modes = { 'ts-2-legacy': 'legacy', 'ts-2-auto': 'auto', 'ts-2-pin': { pin: '2026-07-28' } };
const second = spec.client in modes;
const elicits = !['ts-1.10', 'ts-1.12'].includes(spec.client);
const STEP_MS = 20_000;

const asked = [];
const logs = [];
const notified = [];
/** What a person or model at this client answers, made from the question so that it shows in the result. */
const handlers = {
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
        return { role: 'assistant', model: 'a-model', stopReason: 'endTurn', content: { type: 'text', text: 'Sampled.' } };
    },
    'roots/list': () => {
        asked.push({ roots: true });
        return { roots: (spec.roots ?? ['file:///somewhere']).map(uri => ({ uri, name: 'a root' })) };
    }
};

async function connect() {
    const info = { name: 'sluice-client-test', version: '1.0.0' };
    const capabilities = {
        sampling: {},
        roots: { listChanged: true },
        ...(elicits && { elicitation: second || spec.client === 'ts-1.32' ? { form: {}, url: {} } : {} })
    };
    const stdio = spec.target.command && {
        command: spec.target.command,
        args: spec.target.args,
        env: { PATH: process.env.PATH, HOME: process.env.HOME, ...spec.target.env },
        stderr: 'inherit'
    };
    const onNotification = {
        'notifications/message': ({ params }) => logs.push({ level: params.level, data: params.data }),
        'notifications/resources/updated': ({ params }) => notified.push(`updated ${params.uri}`),
        'notifications/tools/list_changed': () => notified.push('tools changed'),
        'notifications/prompts/list_changed': () => notified.push('prompts changed')
    };
    if (second) {
        const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
        const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
        const client = new Client(info, { capabilities, versionNegotiation: { mode: modes[spec.client] } });
        for (const [method, handler] of Object.entries(handlers)) client.setRequestHandler(method, handler);
        for (const [method, handler] of Object.entries(onNotification)) client.setNotificationHandler(method, handler);
        await client.connect(
            stdio ? new StdioClientTransport(stdio) : new StreamableHTTPClientTransport(new URL(spec.target.url))
        );
        return { client, modern: client.getProtocolEra() === 'modern' };
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
    for (const [method, handler] of Object.entries(handlers))
        if (schemas[method]) client.setRequestHandler(schemas[method], handler);
    for (const [method, handler] of Object.entries(onNotification))
        client.setNotificationHandler(schemas[method], handler);
    let transport;
    if (stdio) {
        const { StdioClientTransport } = await import(`${sdk}/client/stdio.js`);
        transport = new StdioClientTransport(stdio);
    } else {
        const { StreamableHTTPClientTransport } = await import(`${sdk}/client/streamableHttp.js`);
        transport = new StreamableHTTPClientTransport(new URL(spec.target.url));
    }
    let version;
    transport.setProtocolVersion = (original => value => {
        version = value;
        original?.call(transport, value);
    })(transport.setProtocolVersion);
    await client.connect(transport);
    return { client, modern: false, version: () => version };
}

const sleep = ms => new Promise(wake => setTimeout(wake, ms));
async function until(what, ready) {
    const deadline = Date.now() + 10_000;
    while (!(await ready())) {
        if (Date.now() > deadline) throw new Error(`${what}: not within 10 s`);
        await sleep(20);
    }
}

const { client, modern, version } = await Promise.race([
    connect(),
    sleep(STEP_MS).then(() => {
        throw new Error(`not connected within ${STEP_MS} ms`);
    })
]);

async function call({ tool, arguments: args, progress, log, meta }, options = {}) {
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

async function all(list, key) {
    const items = [];
    let cursor;
    do {
        const page = await list(cursor === undefined ? {} : { cursor });
        items.push(...page[key]);
        cursor = page.nextCursor;
    } while (cursor !== undefined);
    return items;
}

const stats = async () => JSON.parse((await call({ tool: 'test_stats' })).content[0].text);

const operations = {
    info() {
        const server = client.getServerVersion();
        return {
            version: second ? client.getNegotiatedProtocolVersion() : version(),
            server: server && { name: server.name, version: server.version, title: server.title },
            capabilities: client.getServerCapabilities(),
            instructions: client.getInstructions()
        };
    },
    tools: () => all(params => client.listTools(params), 'tools'),
    prompts: () => all(params => client.listPrompts(params), 'prompts'),
    resources: () => all(params => client.listResources(params), 'resources'),
    templates: () => all(params => client.listResourceTemplates(params), 'resourceTemplates'),
    call: step => call(step),
    async calls({ tool, each }) {
        const results = await Promise.all(
            each.map(args =>
                second
                    ? client.callTool({ name: tool, arguments: args })
                    : client.callTool({ name: tool, arguments: args }, undefined, {})
            )
        );
        return results.map(({ content }) => content);
    },
    async size(step) {
        const { content } = await call(step);
        return { length: content[0].text.length, same: /^x*$/.test(content[0].text) };
    },
    async read({ uri }) {
        return (await client.readResource({ uri })).contents;
    },
    async prompt({ prompt, arguments: args }) {
        asked.length = 0;
        const { messages, description } = await client.getPrompt({ name: prompt, arguments: args });
        return { messages, description, ...(asked.length > 0 && { asked: asked.splice(0) }) };
    },
    async complete({ ref, argument }) {
        return (await client.complete({ ref, argument })).completion;
    },
    async ping() {
        if (modern) return 'none in this era';
        return await client.ping();
    },
    async level({ level }) {
        if (modern) return 'none in this era';
        return await client.setLoggingLevel(level);
    },
    /** Subscribes, causes changes of this and of another resource, and sees only the first. */
    async subscribe({ uri, other, touch }) {
        notified.length = 0;
        let subscription;
        if (modern) subscription = await client.listen({ resourceSubscriptions: [uri] });
        else await client.subscribeResource({ uri });
        await call({ tool: touch, arguments: { uri: other } });
        await call({ tool: touch, arguments: { uri } });
        await until('resource update', () => notified.some(line => line === `updated ${uri}`));
        const seen = notified.splice(0);
        if (modern) await subscription.close();
        else await client.unsubscribeResource({ uri });
        // Nothing tells when the end of a subscription has arrived.
        await sleep(150);
        await call({ tool: touch, arguments: { uri } });
        await sleep(150);
        return { seen, after: notified.splice(0) };
    },
    /** Hears that a list changed. */
    async changed({ tool, hears, listen }) {
        notified.length = 0;
        const subscription = modern ? await client.listen(listen) : undefined;
        await call({ tool });
        await until('change of a list', () => notified.includes(hears));
        await subscription?.close();
        return notified.splice(0);
    },
    /** Cancels a call that has begun, and sees that the server noticed. */
    async cancel() {
        const before = await stats();
        const controller = new AbortController();
        const slow = call({ tool: 'test_slow', arguments: { ms: 60_000 } }, { signal: controller.signal }).then(
            () => 'answered',
            () => 'rejected'
        );
        await until('the slow call begins', async () => (await stats()).started > before.started);
        controller.abort('no longer wanted');
        const ended = await slow;
        await until('the cancellation arrives', async () => (await stats()).cancelled > before.cancelled);
        const after = await stats();
        return { ended, cancelled: after.cancelled - before.cancelled, finished: after.finished - before.finished };
    },
    /** A tool of the older era that is only called as a task. */
    async task({ tool, arguments: args }) {
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

const transcript = [];
for (const step of spec.steps) {
    if (step.only && !step.only.includes(spec.client)) continue;
    if (step.not?.includes(spec.client)) continue;
    if (step.elicits && !elicits) continue;
    let result;
    try {
        result = await Promise.race([
            operations[step.op](step),
            sleep(STEP_MS).then(() => {
                throw new Error(`no end within ${STEP_MS} ms`);
            })
        ]);
    } catch (error) {
        result = { error: { code: error.code, message: error.message, data: error.data } };
    }
    transcript.push([step.name ?? step.op, result]);
}
await Promise.race([client.close(), sleep(5_000)]);
process.stdout.write(JSON.stringify({ transcript }) + '\n', () => process.exit(0));
