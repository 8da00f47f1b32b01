#!/usr/bin/env node
// The reference server of the tests: what it does directly is what Sluice in front of it must do.
//
// Streamable HTTP with both eras on one endpoint: sessions with an event store for 2025-11-25 and older,
// one instance per request for 2026-07-28. With --stdio, both eras on stdin and stdout.
//
//   node server.mjs [--port N] [--page-size N] [--stdio]
//
// Prints `{"url": …}` on stdout when it accepts connections. Its tools, prompts and resources are those the
// conformance suite asks for, and some of its own that let a client test see what reached the server.

import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import {
    McpServer,
    ProtocolError,
    ProtocolErrorCode,
    ResourceTemplate,
    completable,
    createMcpHandler,
    createRequestStateCodec,
    fromJsonSchema,
    inputRequired,
    inputResponse,
    acceptedContent,
    isLegacyRequest
} from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import {
    NodeStreamableHTTPServerTransport,
    localhostHostValidation,
    localhostOriginValidation,
    toNodeHandler,
    toWebRequest
} from '@modelcontextprotocol/node';
import { z } from 'zod';
import { EXTENSION, callAsTask, registerTasks } from './tasks.mjs';

const { values: options } = parseArgs({
    options: {
        port: { type: 'string', default: '0' },
        'page-size': { type: 'string', default: '0' },
        stdio: { type: 'boolean', default: false }
    }
});
const pageSize = Number(options['page-size']);

const PNG =
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIApD5fRAAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=';

const text = value => ({ content: [{ type: 'text', text: value }] });
const sleep = (ms, signal) =>
    new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, ms);
        signal?.addEventListener('abort', () => {
            clearTimeout(timer);
            reject(new Error('cancelled'));
        });
    });
const object = (properties, required = Object.keys(properties)) => ({ type: 'object', properties, required });
const string = (more = {}) => ({ type: 'string', ...more });

/** What happened to slow calls; `test_stats` tells a client, so that a cancellation can be seen to arrive. */
const stats = { started: 0, cancelled: 0, finished: 0 };
/** Every open connection of the older eras, with what it subscribed to. */
const connections = new Set();
let modernHandler;

/** Tells every client that listens for it. */
function announce(kind, uri) {
    for (const { server, uris } of connections) {
        const sent =
            kind === 'updated'
                ? uris === undefined || uris.has(uri)
                    ? server.server.sendResourceUpdated({ uri })
                    : undefined
                : kind === 'tools'
                  ? server.sendToolListChanged()
                  : kind === 'prompts'
                    ? server.sendPromptListChanged()
                    : server.sendResourceListChanged();
        Promise.resolve(sent).catch(() => {});
    }
    if (kind === 'updated') modernHandler?.notify.resourceUpdated(uri);
    else if (kind === 'tools') modernHandler?.notify.toolsChanged();
    else if (kind === 'prompts') modernHandler?.notify.promptsChanged();
    else modernHandler?.notify.resourcesChanged();
}

const states = createRequestStateCodec({ key: randomUUID() + randomUUID() });
const mint = (payload, ctx) => states.mint({ ...payload, nonce: randomUUID() }, ctx);
/** The state that a call brings back; `tools/call` has refused what is not ours. */
const stateOf = async ctx => {
    const state = ctx.mcpReq.requestState();
    return state === undefined ? undefined : await states.verify(state, ctx);
};

const askName = () =>
    inputRequired.elicit({ message: 'What is your name?', requestedSchema: object({ name: string() }) });
const askSample = (question, maxTokens) =>
    inputRequired.createMessage({
        messages: [{ role: 'user', content: { type: 'text', text: question } }],
        maxTokens
    });
const sampled = view => (view.kind === 'sampling' ? [view.result.content].flat()[0]?.text : undefined);

function tools(server, era) {
    const tool = (name, description, inputSchema, run) =>
        server.registerTool(
            name,
            { description, ...(inputSchema && { inputSchema }) },
            inputSchema ? run : ctx => run({}, ctx)
        );

    tool('test_simple_text', 'One text', undefined, () => text('This is a simple text response for testing.'));
    tool('test_image_content', 'One image', undefined, () => ({
        content: [{ type: 'image', data: PNG, mimeType: 'image/png' }]
    }));
    tool('test_audio_content', 'One sound', undefined, () => ({
        content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }]
    }));
    tool('test_embedded_resource', 'One resource inside the result', undefined, () => ({
        content: [
            {
                type: 'resource',
                resource: {
                    uri: 'test://embedded-resource',
                    mimeType: 'text/plain',
                    text: 'This is an embedded resource content.'
                }
            }
        ]
    }));
    tool('test_multiple_content_types', 'A text, an image and a resource', undefined, () => ({
        content: [
            { type: 'text', text: 'Multiple content types test:' },
            { type: 'image', data: PNG, mimeType: 'image/png' },
            {
                type: 'resource',
                resource: {
                    uri: 'test://mixed-content-resource',
                    mimeType: 'application/json',
                    text: '{"test":"data","value":123}'
                }
            }
        ]
    }));
    tool('test_tool_with_logging', 'Logs three times', undefined, async (_, ctx) => {
        for (const [i, line] of ['execution started', 'processing data', 'execution completed'].entries()) {
            if (i > 0) await sleep(50);
            await ctx.mcpReq.log('info', `Tool ${line}`);
        }
        return text('Logged three times.');
    });
    tool('test_tool_with_progress', 'Reports progress three times', undefined, async (_, ctx) => {
        const progressToken = ctx.mcpReq._meta?.progressToken;
        for (const progress of [0, 50, 100]) {
            if (progress > 0) await sleep(50);
            if (progressToken !== undefined)
                await ctx.mcpReq.notify({
                    method: 'notifications/progress',
                    params: { progressToken, progress, total: 100, message: `${progress} of 100` }
                });
        }
        // Some clients stop listening for progress when they see the result behind it.
        await sleep(50);
        return text('Progress was reported.');
    });
    tool('test_error_handling', 'Always fails', undefined, () => {
        throw new Error('This tool intentionally returns an error for testing');
    });
    tool('test_sampling', 'Asks the client’s model', z.object({ prompt: z.string() }), ({ prompt }, ctx) => {
        const answer = sampled(inputResponse(ctx.mcpReq.inputResponses, 'sample'));
        return answer === undefined
            ? inputRequired({ inputRequests: { sample: askSample(prompt, 100) } })
            : text(`LLM response: ${answer}`);
    });
    const elicit = (name, description, schema, message, answer, input) =>
        tool(name, description, input, (args, ctx) => {
            const view = inputResponse(ctx.mcpReq.inputResponses, 'answer');
            if (view.kind !== 'elicit')
                return inputRequired({
                    inputRequests: {
                        answer: inputRequired.elicit({ message: message(args), requestedSchema: schema })
                    }
                });
            return text(answer(view));
        });
    elicit(
        'test_elicitation',
        'Asks the person at the client',
        object({
            username: string({ description: "User's response" }),
            email: string({ description: "User's email address" })
        }),
        args => args.message,
        ({ action, content }) => `User response: action=${action}, content=${JSON.stringify(content ?? {})}`,
        z.object({ message: z.string() })
    );
    const completed = ({ action, content }) =>
        `Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`;
    elicit(
        'test_elicitation_sep1034_defaults',
        'Asks with a default for every field',
        object(
            {
                name: string({ default: 'John Doe' }),
                age: { type: 'integer', default: 30 },
                score: { type: 'number', default: 95.5 },
                status: string({ enum: ['active', 'inactive', 'pending'], default: 'active' }),
                verified: { type: 'boolean', default: true }
            },
            []
        ),
        () => 'Please check these values',
        completed
    );
    const plain = ['option1', 'option2', 'option3'];
    const titled = noun =>
        ['First', 'Second', 'Third'].map((n, i) => ({ const: `value${i + 1}`, title: `${n} ${noun}` }));
    elicit(
        'test_elicitation_sep1330_enums',
        'Asks with every kind of enumeration',
        object(
            {
                untitledSingle: string({ enum: plain }),
                titledSingle: string({ oneOf: titled('Option') }),
                legacyEnum: string({
                    enum: ['opt1', 'opt2', 'opt3'],
                    enumNames: ['Option One', 'Option Two', 'Option Three']
                }),
                untitledMulti: { type: 'array', items: { type: 'string', enum: plain } },
                titledMulti: { type: 'array', items: { anyOf: titled('Choice') } }
            },
            []
        ),
        () => 'Please choose',
        completed
    );
    tool('test_reconnection', 'Closes its stream in the middle of the call', undefined, async (_, ctx) => {
        ctx.http?.closeSSE?.();
        await sleep(100);
        return text('Reconnection test completed successfully.');
    });
    const full2020 = fromJsonSchema({
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        $defs: {
            address: {
                $anchor: 'addressDef',
                type: 'object',
                properties: { street: { type: 'string' }, city: { type: 'string' } }
            }
        },
        properties: {
            name: { type: 'string' },
            address: { $ref: '#/$defs/address' },
            contactMethod: { type: 'string', enum: ['phone', 'email'] },
            phone: { type: 'string' },
            email: { type: 'string' }
        },
        allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
        if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
        then: { required: ['phone'] },
        else: { required: ['email'] },
        additionalProperties: false
    });
    tool('json_schema_2020_12_tool', 'Tool with JSON Schema 2020-12 features', full2020, args =>
        text(JSON.stringify(args))
    );
    tool(
        'test_header_param',
        'Has parameters that travel in headers, too',
        fromJsonSchema({
            type: 'object',
            properties: {
                region: { type: 'string', 'x-mcp-header': 'Region' },
                note: { type: 'string' }
            },
            required: ['region']
        }),
        ({ region, note }) => text(`region=${region} note=${note ?? ''}`)
    );

    // input_required
    tool('test_input_required_result_elicitation', 'Asks for a name', undefined, (_, ctx) => {
        const name = acceptedContent(ctx.mcpReq.inputResponses, 'user_name', z.object({ name: z.string() }))?.name;
        return name === undefined
            ? inputRequired({ inputRequests: { user_name: askName() } })
            : text(`Hello, ${name}!`);
    });
    tool('test_input_required_result_sampling', 'Asks the model', undefined, (_, ctx) => {
        const answer = sampled(inputResponse(ctx.mcpReq.inputResponses, 'capital_question'));
        return answer === undefined
            ? inputRequired({ inputRequests: { capital_question: askSample('What is the capital of France?', 100) } })
            : text(answer);
    });
    tool('test_input_required_result_list_roots', 'Asks for the roots', undefined, (_, ctx) => {
        const view = inputResponse(ctx.mcpReq.inputResponses, 'client_roots');
        return view.kind === 'roots'
            ? text(`Roots: ${view.roots.map(r => r.uri).join(', ')}`)
            : inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    });
    const confirm = (name, description, done) =>
        tool(name, description, undefined, async (_, ctx) => {
            const state = await stateOf(ctx);
            if (state?.of === name && acceptedContent(ctx.mcpReq.inputResponses, 'confirm')) return text(done);
            return inputRequired({
                inputRequests: {
                    confirm: inputRequired.elicit({
                        message: 'Please confirm',
                        requestedSchema: object({ ok: { type: 'boolean' } })
                    })
                },
                requestState: await mint({ of: name }, ctx)
            });
        });
    confirm('test_input_required_result_request_state', 'Wants its state back', 'state-ok');
    confirm('test_input_required_result_tampered_state', 'Checks its state', 'integrity-ok');
    tool('test_input_required_result_multiple_inputs', 'Asks three things at once', undefined, async (_, ctx) => {
        const got = ctx.mcpReq.inputResponses;
        const name = acceptedContent(got, 'user_name')?.name;
        const greeting = sampled(inputResponse(got, 'greeting'));
        const roots = inputResponse(got, 'client_roots');
        if ((await stateOf(ctx)) && name && greeting && roots.kind === 'roots')
            return text(`${greeting}, ${name}: ${roots.roots.length} roots`);
        return inputRequired({
            inputRequests: {
                user_name: askName(),
                greeting: askSample('Generate a greeting', 50),
                client_roots: inputRequired.listRoots()
            },
            requestState: await mint({ of: 'multiple' }, ctx)
        });
    });
    tool('test_input_required_result_multi_round', 'Asks twice', undefined, async (_, ctx) => {
        const got = ctx.mcpReq.inputResponses;
        const state = await stateOf(ctx);
        if (state?.round === 2 && acceptedContent(got, 'step2'))
            return text(`${state.name} likes ${acceptedContent(got, 'step2').color}`);
        const name = state?.round === 1 ? acceptedContent(got, 'step1')?.name : undefined;
        return name === undefined
            ? inputRequired({
                  inputRequests: {
                      step1: inputRequired.elicit({
                          message: 'Step 1: What is your name?',
                          requestedSchema: object({ name: string() })
                      })
                  },
                  requestState: await mint({ round: 1 }, ctx)
              })
            : inputRequired({
                  inputRequests: {
                      step2: inputRequired.elicit({
                          message: 'Step 2: What is your favorite color?',
                          requestedSchema: object({ color: string() })
                      })
                  },
                  requestState: await mint({ round: 2, name }, ctx)
              });
    });
    tool('test_input_required_result_capabilities', 'Asks only what the client can do', undefined, async (_, ctx) => {
        const got = ctx.mcpReq.inputResponses ?? {};
        if (Object.keys(got).length > 0) return text(`Got ${Object.keys(got).join(', ')}`);
        const can = ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? {};
        const inputRequests = {
            ...(can.elicitation && { name: askName() }),
            ...(can.sampling && { sample: askSample('Anything', 10) }),
            ...(can.roots && { roots: inputRequired.listRoots() })
        };
        return Object.keys(inputRequests).length > 0
            ? inputRequired({ inputRequests, requestState: await mint({ of: 'capabilities' }, ctx) })
            : text('The client can do nothing.');
    });
    tool('test_missing_capability', 'Needs sampling', undefined, (_, ctx) => {
        const answer = sampled(inputResponse(ctx.mcpReq.inputResponses, 'sample'));
        return answer === undefined
            ? inputRequired({ inputRequests: { sample: askSample('Anything', 10) } })
            : text(answer);
    });
    tool('test_streaming_elicitation', 'Reports progress, then asks', undefined, async (_, ctx) => {
        const name = acceptedContent(ctx.mcpReq.inputResponses, 'user_name')?.name;
        if (name !== undefined) return text(`Hello, ${name}!`);
        await ctx.mcpReq.notify({
            method: 'notifications/progress',
            params: { progressToken: ctx.mcpReq._meta?.progressToken ?? 'none', progress: 1, total: 2 }
        });
        await sleep(50);
        const can = ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'];
        if (era === 'modern' && !can?.elicitation) return text('Nobody to ask.');
        return inputRequired({ inputRequests: { user_name: askName() } });
    });
    tool('test_logging_tool', 'Logs once, if asked to', undefined, async (_, ctx) => {
        await ctx.mcpReq.log('info', 'A log message');
        return text('Logged if asked to.');
    });

    // What a client test can cause and look at.
    tool('test_trigger_tool_change', 'Says that the tools changed', undefined, () => {
        announce('tools');
        return text('Said so.');
    });
    tool('test_trigger_prompt_change', 'Says that the prompts changed', undefined, () => {
        announce('prompts');
        return text('Said so.');
    });
    tool('test_touch_resource', 'Says that a resource changed', z.object({ uri: z.string() }), ({ uri }) => {
        announce('updated', uri);
        return text('Said so.');
    });
    tool(
        'test_slow',
        'Takes its time, and notices when it is cancelled',
        z.object({ ms: z.number().int().min(0).max(120_000) }),
        async ({ ms }, ctx) => {
            stats.started++;
            try {
                await sleep(ms, ctx.mcpReq.signal);
                stats.finished++;
                return text(`Slept ${ms} ms.`);
            } catch (error) {
                stats.cancelled++;
                throw error;
            }
        }
    );
    tool('test_stats', 'How the slow calls ended', undefined, () => text(JSON.stringify(stats)));
    tool(
        'test_echo',
        'Gives back its arguments and the rest of the call’s _meta',
        fromJsonSchema({ type: 'object', additionalProperties: true }),
        (args, ctx) => ({
            ...text(JSON.stringify(args)),
            structuredContent: {
                arguments: args,
                meta: Object.fromEntries(
                    Object.entries(ctx.mcpReq._meta ?? {}).filter(([key]) => key !== 'progressToken')
                )
            }
        })
    );
    server.registerTool(
        'test_structured',
        {
            title: 'Structured',
            description: 'Has everything that a listed tool can have',
            inputSchema: z.object({ city: z.string() }),
            outputSchema: z.object({ city: z.string(), degrees: z.number() }),
            annotations: { readOnlyHint: true, openWorldHint: false },
            icons: [{ src: 'data:image/png;base64,' + PNG, mimeType: 'image/png', sizes: ['1x1'] }],
            _meta: { ui: { resourceUri: 'ui://reference/app.html' }, 'example.com/more': { deep: [1, null] } }
        },
        ({ city }) => ({
            ...text(`21.5 in ${city}`),
            structuredContent: { city, degrees: 21.5 },
            _meta: { 'example.com/of-the-result': true }
        })
    );
    tool('test_big', 'A text of the wanted size', z.object({ bytes: z.number().int().max(8 << 20) }), ({ bytes }) =>
        text('x'.repeat(bytes))
    );
}

function prompts(server) {
    const say = (...contents) => ({ messages: contents.map(content => ({ role: 'user', content })) });
    const words = value => ({ type: 'text', text: value });

    server.registerPrompt('test_simple_prompt', { description: 'One message' }, () =>
        say(words('This is a simple prompt for testing.'))
    );
    const cities = ['Paris', 'Park City', 'Lima'];
    server.registerPrompt(
        'test_prompt_with_arguments',
        {
            description: 'Two arguments in one message',
            argsSchema: z.object({
                arg1: completable(z.string().describe('First test argument'), value =>
                    cities.filter(city => city.toLowerCase().startsWith(value.toLowerCase()))
                ),
                arg2: z.string().describe('Second test argument')
            })
        },
        ({ arg1, arg2 }) => say(words(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))
    );
    server.registerPrompt(
        'test_prompt_with_embedded_resource',
        { description: 'A resource in a message', argsSchema: z.object({ resourceUri: z.string() }) },
        ({ resourceUri }) =>
            say(
                {
                    type: 'resource',
                    resource: {
                        uri: resourceUri,
                        mimeType: 'text/plain',
                        text: 'Embedded resource content for testing.'
                    }
                },
                words('Please process the embedded resource above.')
            )
    );
    server.registerPrompt('test_prompt_with_image', { description: 'An image in a message' }, () =>
        say({ type: 'image', data: PNG, mimeType: 'image/png' }, words('Please analyze the image above.'))
    );
    server.registerPrompt('test_input_required_result_prompt', { description: 'Asks for context' }, ctx => {
        const context = acceptedContent(ctx.mcpReq.inputResponses, 'user_context')?.context;
        return context === undefined
            ? inputRequired({
                  inputRequests: {
                      user_context: inputRequired.elicit({
                          message: 'What context should the prompt use?',
                          requestedSchema: object({ context: string() })
                      })
                  }
              })
            : say(words(`Context: ${context}`));
    });
}

function resources(server) {
    const resource = (name, uri, mimeType, content) =>
        server.registerResource(name, uri, { description: `The resource ${name}`, mimeType }, () => ({
            contents: [{ uri, mimeType, ...content }]
        }));
    resource('static-text', 'test://static-text', 'text/plain', {
        text: 'This is the content of the static text resource.'
    });
    resource('static-binary', 'test://static-binary', 'image/png', { blob: PNG });
    resource('watched-resource', 'test://watched-resource', 'text/plain', { text: 'Somebody watches this.' });
    resource('app', 'ui://reference/app.html', 'text/html;profile=mcp-app', { text: '<!doctype html><p>An app</p>' });
    for (let n = 1; n <= 12; n++)
        resource(`numbered-${n}`, `test://numbered/${n}`, 'text/plain', { text: `Resource number ${n}` });
    server.registerResource(
        'template',
        new ResourceTemplate('test://template/{id}/data', {
            list: undefined,
            complete: { id: value => ['100', '101', '123'].filter(id => id.startsWith(value)) }
        }),
        { description: 'One resource per id', mimeType: 'application/json' },
        (uri, { id }) => ({
            contents: [
                {
                    uri: uri.href,
                    mimeType: 'application/json',
                    text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` })
                }
            ]
        })
    );
}

/** Cuts the SDK's lists into pages; it always answers with everything. */
function paginate(server) {
    const lists = {
        'tools/list': 'tools',
        'prompts/list': 'prompts',
        'resources/list': 'resources',
        'resources/templates/list': 'resourceTemplates'
    };
    for (const [method, key] of Object.entries(lists)) {
        const all = server.server._getRequestHandler(method);
        server.server.setRequestHandler(method, async (request, ctx) => {
            const result = await all(request, ctx);
            const cursor = request.params?.cursor;
            const from = cursor === undefined ? 0 : Number(cursor.replace(/^page-/, ''));
            const to = from + pageSize;
            return {
                ...result,
                [key]: result[key].slice(from, to),
                ...(to < result[key].length && { nextCursor: `page-${to}` })
            };
        });
    }
}

/** What the SDK's tools cannot do themselves: refuse a state as an error of the request, and answer with a task. */
function aroundCalls(server, era) {
    const ordinary = server.server._getRequestHandler('tools/call');
    server.server.setRequestHandler('tools/call', async (request, ctx) => {
        await stateOf(ctx).catch(() => {
            throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Invalid or expired requestState');
        });
        const task = era === 'modern' ? callAsTask(request.params, ctx) : undefined;
        return task ?? (await ordinary(request, ctx));
    });
}

function build({ era }) {
    const server = new McpServer(
        { name: 'sluice-reference-server', version: '1.0.0', title: 'Reference server' },
        {
            instructions: 'A server for tests.',
            capabilities: {
                tools: { listChanged: true },
                prompts: { listChanged: true },
                resources: { listChanged: true, subscribe: true },
                completions: {},
                logging: {},
                ...(era === 'modern' && { extensions: { [EXTENSION]: {} } })
            },
            cacheHints: Object.fromEntries(
                ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list', 'resources/read'].map(
                    method => [method, { ttlMs: 60_000, cacheScope: 'public' }]
                )
            )
        }
    );
    tools(server, era);
    if (era === 'modern') registerTasks(server);
    aroundCalls(server, era);
    prompts(server);
    resources(server);
    if (pageSize > 0) paginate(server);
    if (era === 'legacy') {
        const connection = { server, uris: new Set() };
        server.server.setRequestHandler('resources/subscribe', ({ params }) => {
            connection.uris.add(params.uri);
            return {};
        });
        server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
            connection.uris.delete(params.uri);
            return {};
        });
        connections.add(connection);
        server.server.onclose = () => connections.delete(connection);
    } else if (options.stdio) {
        // Over stdio the SDK sorts what is announced to the streams that listen for it.
        const connection = { server, uris: undefined };
        connections.add(connection);
        server.server.onclose = () => connections.delete(connection);
    }
    return server;
}

/** Events by stream, in order, so that a client can come back for what it missed. */
function eventStore() {
    const events = [];
    return {
        async storeEvent(streamId, message) {
            events.push({ streamId, message });
            return `${streamId}_${events.length - 1}`;
        },
        async getStreamIdForEventId(eventId) {
            return events[Number(eventId.slice(eventId.lastIndexOf('_') + 1))]?.streamId;
        },
        async replayEventsAfter(lastEventId, { send }) {
            const last = Number(lastEventId.slice(lastEventId.lastIndexOf('_') + 1));
            const streamId = events[last]?.streamId;
            for (let i = last + 1; i < events.length; i++) {
                const { message } = events[i];
                if (events[i].streamId === streamId && Object.keys(message).length > 0)
                    await send(`${streamId}_${i}`, message);
            }
            return streamId;
        }
    };
}

function serveHttp() {
    modernHandler = createMcpHandler(build, { legacy: 'reject', keepAliveMs: 5_000 });
    const modern = toNodeHandler(modernHandler);
    const hostAllowed = localhostHostValidation();
    const originAllowed = localhostOriginValidation();
    const sessions = new Map();

    const refuse = (res, status, message) => {
        res.writeHead(status, { 'content-type': 'application/json' });
        res.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: status === 404 ? -32001 : -32000, message } }));
    };
    async function legacy(req, res, body) {
        const id = req.headers['mcp-session-id'];
        let transport = sessions.get(id);
        if (transport === undefined) {
            if (id !== undefined) return refuse(res, 404, 'Session not found');
            if (body?.method !== 'initialize') return refuse(res, 400, 'Mcp-Session-Id header is required');
            transport = new NodeStreamableHTTPServerTransport({
                sessionIdGenerator: randomUUID,
                eventStore: eventStore(),
                retryInterval: 500,
                keepAliveMs: 5_000,
                onsessioninitialized: sessionId => void sessions.set(sessionId, transport),
                onsessionclosed: sessionId => void sessions.delete(sessionId)
            });
            await build({ era: 'legacy' }).connect(transport);
        }
        await transport.handleRequest(req, res, body);
    }

    const http = createServer(async (req, res) => {
        try {
            if (!hostAllowed(req, res) || !originAllowed(req, res)) return;
            if (new URL(req.url, 'http://localhost').pathname !== '/mcp') return res.writeHead(404).end();
            if (req.method !== 'POST') return await legacy(req, res);
            const request = await toWebRequest(req);
            const raw = await request.clone().text();
            let body;
            try {
                body = JSON.parse(raw);
            } catch {
                res.writeHead(400, { 'content-type': 'application/json' });
                return res.end(
                    '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error: invalid JSON"}}'
                );
            }
            if (await isLegacyRequest(request, body)) await legacy(req, res, body);
            else await modern(req, res, body);
        } catch (error) {
            console.error(error);
            if (!res.headersSent) res.writeHead(500);
            res.end();
        }
    });
    http.listen(Number(options.port), '127.0.0.1', () =>
        console.log(JSON.stringify({ url: `http://127.0.0.1:${http.address().port}/mcp` }))
    );
    const stop = () => {
        http.closeAllConnections();
        process.exit(0);
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
}

if (options.stdio) serveStdio(build, { onerror: error => console.error(String(error)) });
else serveHttp();
