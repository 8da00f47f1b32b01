#!/usr/bin/env node
// Does a script with the command-line client of MCP Inspector, and prints what it saw. See driver.mjs for the form of
// both.
//
// Each step is a process and a connection of its own; what the command has no words for (completion, subscriptions)
// is not in its transcript.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const spec = JSON.parse(process.argv[2]);
const inspector = fileURLToPath(import.meta.resolve('@modelcontextprotocol/inspector/package.json'));
const { bin } = (await import(inspector, { with: { type: 'json' } })).default;
const command = fileURLToPath(new URL(bin['mcp-inspector'], `file://${inspector}`));

function targetArguments({ url, command: program, args, env = {} }) {
    const variables = Object.entries(env).flatMap(([key, value]) => ['-e', `${key}=${value}`]);
    if (url === undefined) return [...variables, '--', program, ...args];
    const transport = url.endsWith('/sse') ? 'sse' : 'http';
    return ['--transport', transport, '--server-url', url];
}

/** What one use of the command gave. */
function ask(step, ...words) {
    const target = spec.targets?.[step.server] ?? spec.target;
    const options = ['--cli', '--protocol-era', 'legacy', '--format', 'json', '--quiet', ...words];
    // It keeps things in its user's home.
    const env = { ...process.env, HOME: spec.scratch };
    return new Promise((done, fail) =>
        execFile(
            process.execPath,
            [command, ...options, ...targetArguments(target)],
            { env, timeout: 20_000, maxBuffer: 16 * 1024 * 1024 },
            (error, out, err) => {
                const found = /^\{"(result|error)".*$/m.exec(error === null ? out : err);
                if (found === null) return fail(error ?? new Error(`no result: ${out}`));
                const { result, error: refusal } = JSON.parse(found[0]);
                return done(result ?? { error: refusal });
            }
        )
    );
}

let resources = [];
async function list(step, method, key) {
    const deadline = Date.now() + 10_000;
    for (;;) {
        const result = await ask(step, '--method', method);
        if (result[key] === undefined || result[key].length >= (step.atLeast ?? 0) || Date.now() > deadline) {
            if (key === 'resources') resources = result[key] ?? [];
            return result[key] ?? result;
        }
    }
}

/** The URI a step means, as the last list of resources has it. */
function uriOf({ uri }) {
    if (typeof uri === 'string') return uri;
    const found = resources.find(({ name }) => name === uri.resource);
    if (found === undefined) throw new Error(`no resource is called ${uri.resource}`);
    return found.uri;
}

const operations = {
    tools: step => list(step, 'tools/list', 'tools'),
    prompts: step => list(step, 'prompts/list', 'prompts'),
    resources: step => list(step, 'resources/list', 'resources'),
    templates: step => list(step, 'resources/templates/list', 'resourceTemplates'),
    async call(step) {
        const words = ['--method', 'tools/call', '--tool-name', step.tool];
        const result = await ask(step, ...words, '--tool-args-json', JSON.stringify(step.arguments ?? {}));
        if (result.error) return result;
        const { content, structuredContent, isError } = result;
        return { content, structuredContent, isError };
    },
    async read(step) {
        const uri = uriOf(step);
        const result = await ask(step, '--method', 'resources/read', '--uri', uri);
        return result.contents?.map(part => ({ ...part, uri: part.uri === uri ? '‹as asked›' : part.uri })) ?? result;
    },
    async prompt(step) {
        const words = Object.entries(step.arguments ?? {}).map(([key, value]) => `${key}=${value}`);
        const given = words.length > 0 ? ['--prompt-args', ...words] : [];
        const result = await ask(step, '--method', 'prompts/get', '--prompt-name', step.prompt, ...given);
        return result.error ? result : { messages: result.messages, description: result.description };
    }
};

const transcript = [];
for (const step of spec.steps) {
    if (operations[step.op] === undefined || step.not?.includes(spec.client)) continue;
    if ((step.only && !step.only.includes(spec.client)) || step.elicits) continue;
    let result;
    try {
        result = await operations[step.op](step);
    } catch (error) {
        result = { error: { message: error.message } };
    }
    transcript.push([step.name ?? step.op, result]);
}
process.stdout.write(JSON.stringify({ transcript }) + '\n');
