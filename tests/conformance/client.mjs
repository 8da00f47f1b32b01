#!/usr/bin/env node
// A client for the conformance suite's client scenarios: an SDK's client, directly or behind a Sluice that it
// starts in front of the suite's server.
//
//   DRIVER=sdk1|sdk2-legacy|sdk2-auto|sdk2-pin [DOOR=own|merged] node client.mjs URL
//
// The suite names the scenario in MCP_CONFORMANCE_SCENARIO.

import { startDoor } from './doors.mjs';

const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}');
const driver = process.env.DRIVER ?? 'sdk1';
const direct = process.argv[2];

const capabilities = { elicitation: { form: { applyDefaults: true } }, sampling: {}, roots: {} };
let onElicitation = async () => {};
const answer = async request => {
    await onElicitation();
    const asked = request.params.requestedSchema?.properties ?? {};
    return { action: 'accept', content: asked.confirmed ? { confirmed: true } : {} };
};

async function connect(url) {
    const info = { name: 'sluice-conformance-client', version: '1.0.0' };
    let client, transport;
    if (driver === 'sdk1') {
        const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
        const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
        const { ElicitRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
        client = new Client(info, { capabilities });
        client.setRequestHandler(ElicitRequestSchema, answer);
        transport = new StreamableHTTPClientTransport(new URL(url));
    } else {
        const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
        const mode = { 'sdk2-legacy': 'legacy', 'sdk2-auto': 'auto', 'sdk2-pin': { pin: '2026-07-28' } }[driver];
        if (mode === undefined) throw new Error(`DRIVER ${driver} is not known`);
        client = new Client(info, { capabilities, versionNegotiation: { mode } });
        client.setRequestHandler('elicitation/create', answer);
        transport = new StreamableHTTPClientTransport(new URL(url));
    }
    await client.connect(transport);
    return client;
}

/** Arguments that a schema accepts, as far as the scenarios need it. */
function argumentsFor(schema) {
    const values = { string: 'text', integer: 1, number: 1.5, boolean: true, object: {}, array: [], null: null };
    return Object.fromEntries(
        (schema.required ?? []).map(name => [name, values[schema.properties?.[name]?.type] ?? 'text'])
    );
}

const scenarios = {
    async initialize(client) {
        await client.listTools();
    },
    async tools_call(client) {
        const { tools } = await client.listTools();
        await client.callTool({ name: tools[0].name, arguments: { a: 2, b: 3 } });
    },
    async 'request-metadata'(client) {
        await client.listTools();
    },
    async 'http-standard-headers'(client) {
        const { tools } = await client.listTools();
        for (const tool of tools) await client.callTool({ name: tool.name, arguments: {} });
        const { resources } = await client.listResources();
        for (const { uri } of resources) await client.readResource({ uri });
        const { prompts } = await client.listPrompts();
        for (const { name } of prompts) await client.getPrompt({ name });
    },
    async 'http-custom-headers'(client) {
        await client.listTools();
        for (const call of context.toolCalls) await client.callTool(call);
    },
    async 'http-invalid-tool-headers'(client) {
        const { tools } = await client.listTools();
        for (const { name, inputSchema } of tools)
            await client.callTool({ name, arguments: argumentsFor(inputSchema) });
    },
    async 'sse-retry'(client) {
        await client.listTools();
        await client.callTool({ name: 'test_reconnection', arguments: {} });
    },
    async 'sep-2322-client-request-state'(client) {
        await client.listTools();
        onElicitation = async () => {
            onElicitation = async () => {};
            await client.callTool({ name: 'test_mrtr_unrelated', arguments: {} });
        };
        for (const name of ['test_mrtr_echo_state', 'test_mrtr_no_state'])
            await client.callTool({ name, arguments: {} });
        // The suite wants a result without resultType taken as complete; the SDK is stricter, and need not be more.
        await client.callTool({ name: 'test_mrtr_no_result_type', arguments: {} }).catch(error => {
            if (error.data?.violation !== 'missing-resultType') throw error;
        });
    },
    async 'json-schema-ref-no-deref'(client) {
        await client.listTools();
    },
    async 'json-schema-2020-12-preservation'(client) {
        const { tools } = await client.listTools();
        const schema = tools.find(tool => tool.name === 'json_schema_2020_12_tool').inputSchema;
        await client.callTool({ name: 'json_schema_echo', arguments: { schema } });
    },
    async 'elicitation-sep1034-client-defaults'(client) {
        await client.listTools();
        await client.callTool({ name: 'test_client_elicitation_defaults', arguments: {} });
    }
};

const door = process.env.DOOR;
const { sluice, url } = door ? await startDoor(door, direct) : { url: direct };
let failed = false;
try {
    const client = await connect(url);
    await scenarios[scenario](client);
    await client.close();
} catch (error) {
    failed = true;
    console.error(error);
    if (sluice) console.error(sluice.log());
} finally {
    await sluice?.stop();
}
process.exit(failed ? 1 : 0);
