#!/usr/bin/env node
// Real clients with real servers, directly and through Sluice.
//
//   node run.mjs [--client NAME]… [--server NAME]… [--door http|stdio]… [--direct]
//
// Every client does the same script with a server directly, through Sluice's HTTP door, and with Sluice as a
// stdio server. The direct run must give what the script expects; the others must give what the direct run gave.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import {
    Tally,
    cache,
    inParallel,
    killMarked,
    newMark,
    packages,
    processesWith,
    referenceServer,
    root,
    run,
    sluiceArguments,
    sluiceBinary,
    startReference,
    startSluice,
    table,
    temporaryDirectory,
    until
} from '../node/lib.mjs';
import * as scripts from './scripts.mjs';

const { values: options } = parseArgs({
    options: {
        client: { type: 'string', multiple: true },
        server: { type: 'string', multiple: true },
        door: { type: 'string', multiple: true },
        direct: { type: 'boolean', default: false }
    }
});
if (!options.direct) sluiceBinary();

const node = join(root, 'tests/clients/driver.mjs');
const python = join(root, 'tests/clients/driver.py');
const clients = {
    'ts-1.10': [process.execPath, node],
    'ts-1.12': [process.execPath, node],
    'ts-1.13': [process.execPath, node],
    'ts-1.32': [process.execPath, node],
    'ts-2-legacy': [process.execPath, node],
    'ts-2-auto': [process.execPath, node],
    'ts-2-pin': [process.execPath, node],
    'py-1': [join(cache, 'python-mcp1/bin/python'), python],
    'py-2-legacy': [join(cache, 'python-mcp2/bin/python'), python],
    'py-2-auto': [join(cache, 'python-mcp2/bin/python'), python],
    'py-2-pin': [join(cache, 'python-mcp2/bin/python'), python]
};
const legacyOnly = Object.keys(clients).filter(name => !name.endsWith('-pin'));
const current = ['ts-1.32', 'ts-2-legacy', 'ts-2-auto', 'py-1', 'py-2-auto'];
const bothEras = ['ts-1.32', 'ts-2-legacy', 'ts-2-auto', 'ts-2-pin', 'py-1', 'py-2-legacy', 'py-2-auto', 'py-2-pin'];

const npmServer = (name, ...args) => ({
    command: process.execPath,
    args: [join(packages, `@modelcontextprotocol/server-${name}/dist/index.js`), ...args]
});

// Each run gets a fresh server: `prepare` returns the script, where the server is, and how to end it. Whatever
// differs from run to run (a directory) is in `hide`.
const servers = {
    'reference (http)': {
        clients: Object.keys(clients),
        prepare: async () => {
            const server = await startReference('--page-size', '7');
            return { steps: scripts.reference, target: { url: server.url }, stop: server.stop };
        }
    },
    'reference (stdio)': {
        clients: bothEras,
        prepare: async () => ({
            steps: scripts.reference,
            target: { command: process.execPath, args: [referenceServer, '--stdio', '--page-size', '7'] }
        })
    },
    everything: {
        clients: legacyOnly,
        // It asks for roots on its own account, some time after it was initialised: during which step is chance.
        unprompted: 'roots',
        prepare: async () => ({ steps: scripts.everything, target: npmServer('everything') })
    },
    filesystem: {
        clients: current,
        prepare: async () => {
            const directory = join(temporaryDirectory(), 'files');
            mkdirSync(directory);
            return {
                steps: scripts.filesystem(directory),
                target: npmServer('filesystem', directory),
                roots: [`file://${directory}`],
                hide: directory
            };
        }
    },
    memory: {
        clients: current,
        prepare: async () => {
            const directory = temporaryDirectory();
            return {
                steps: scripts.memory,
                target: { ...npmServer('memory'), env: { MEMORY_FILE_PATH: join(directory, 'memory.jsonl') } },
                hide: directory
            };
        }
    },
    time: {
        clients: bothEras,
        prepare: async () => ({
            steps: scripts.time,
            target: { command: join(cache, 'python-mcp2/bin/mcp-server-time'), args: ['--local-timezone', 'Europe/Berlin'] }
        })
    },
    'demo-server': {
        needsSluice: true,
        clients: bothEras,
        prepare: async () => ({
            steps: scripts.demo,
            target: { command: sluiceBinary(), args: ['demo-server', '--stdio'] }
        })
    }
};

/** What legitimately differs between two runs, made equal. */
function hideVariable(text, hide) {
    if (hide !== undefined) text = text.replaceAll(hide, '‹directory›');
    return text
        .replaceAll(/http:\/\/127\.0\.0\.1:\d+[\w/.-]*/g, '‹url›')
        .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)/g, '‹time›')
        .replaceAll(/\d{1,2}:\d\d:\d\d(?: [AP]M)?/g, '‹time›');
}

/** A step's result without the questions that the server asks whatever the step is. */
function prompted(result, unprompted) {
    if (unprompted === undefined || result?.asked === undefined) return result;
    const asked = result.asked.filter(question => !(unprompted in question));
    const { asked: _, ...rest } = result;
    return asked.length > 0 ? { ...rest, asked } : rest;
}

/** One client, one server, one way; the transcript or why there is none. */
async function once(clientName, server, way) {
    const { steps, target, roots, stop, hide } = await server.prepare();
    // Everything that this run starts has the mark, so that nothing stays behind unseen.
    const mark = { SLUICE_TEST_MARK: newMark() };
    let sluice;
    try {
        const upstream = target.url
            ? { transport: 'http', url: target.url }
            : { transport: 'stdio', command: target.command, args: target.args, env: { ...target.env, ...mark } };
        let given = target.url ? target : { ...target, env: { ...target.env, ...mark } };
        if (way === 'http') {
            sluice = await startSluice({ it: upstream }, mark);
            given = { url: sluice.url('it') };
        } else if (way === 'stdio')
            given = { command: sluiceBinary(), args: [...sluiceArguments({ it: upstream }), '--stdio'], env: mark };
        const spec = { client: clientName, target: given, roots, steps: steps.map(({ expect, compare, ...step }) => step) };
        const [command, driver] = clients[clientName];
        const { code, out, err } = await run(command, [driver, JSON.stringify(spec)], { timeout: 120_000 });
        const log = `${err.slice(-3_000)}${sluice ? `\n--- Sluice\n${sluice.log().slice(-3_000)}` : ''}`;
        const line = out.trim().split('\n').at(-1);
        if (code !== 0 || !line?.startsWith('{')) return { fault: `the client ended with ${code}`, log, steps };
        return { transcript: JSON.parse(hideVariable(line, hide)).transcript, log, steps };
    } catch (error) {
        return { fault: String(error?.message ?? error), log: '', steps };
    } finally {
        if (sluice && !(await sluice.stop())) ends.push(`${clientName}: Sluice ends within 10 s of SIGTERM`);
        await stop?.();
        if (way !== 'direct') {
            const left = () => processesWith(mark.SLUICE_TEST_MARK);
            await until(5_000, 'all processes end', () => left().length === 0).catch(() => {
                ends.push(`${clientName} through ${way}: nothing stays behind, but: ${left().join('; ')}`);
            });
        }
        killMarked(mark.SLUICE_TEST_MARK);
    }
}
/** What did not end as it should. */
const ends = [];

const short = value => {
    const text = JSON.stringify(value) ?? 'nothing';
    return text.length > 400 ? `${text.slice(0, 400)}…` : text;
};

/** Where two results first part. */
function difference(direct, through, path = '') {
    if (isDeepStrictEqual(direct, through)) return undefined;
    const both = value => value !== null && typeof value === 'object';
    if (both(direct) && both(through) && Array.isArray(direct) === Array.isArray(through)) {
        for (const key of new Set([...Object.keys(direct), ...Object.keys(through)])) {
            const found = difference(direct[key], through[key], `${path}.${key}`);
            if (found !== undefined) return found;
        }
    }
    return `${path || 'result'}: direct ${short(direct)}, through ${short(through)}`;
}

const wanted = (list, name) => list === undefined || list.some(part => name.includes(part));
const doors = ['http', 'stdio'].filter(door => wanted(options.door, door));
const jobs = [];
for (const [serverName, server] of Object.entries(servers)) {
    if (!wanted(options.server, serverName) || (options.direct && server.needsSluice)) continue;
    for (const clientName of server.clients)
        if (options.client === undefined || options.client.includes(clientName))
            jobs.push({ serverName, server, clientName });
}

const tally = new Tally();
const details = [];
await inParallel(2, jobs, async job => {
    const { server, serverName, clientName } = job;
    job.cells = [];
    const direct = await once(clientName, server, 'direct');
    const what = `${clientName} × ${serverName}`;
    const began = Date.now();
    const said = way => console.log(`${what}, ${way}: ${job.cells.at(-1)} in ${((Date.now() - began) / 1000).toFixed(1)} s`);
    if (direct.fault !== undefined) {
        job.cells.push('no');
        tally.check(false, `${what} direct`, direct.fault);
        details.push(`${what} direct: ${direct.fault}\n${direct.log}`);
        return;
    }
    const expectations = new Map(direct.steps.map(step => [step.name ?? step.op, step.expect]));
    const views = new Map(direct.steps.map(step => [step.name ?? step.op, step.compare]));
    let good = 0;
    for (const [name, result] of direct.transcript) {
        let met = false;
        try {
            met = Boolean(expectations.get(name)(result));
        } catch {
            // The result has not even the form that is looked at.
        }
        if (met) good++;
        tally.check(met, `${what} direct: ${name}`, short(result));
    }
    job.cells.push(`${good}/${direct.transcript.length}`);
    if (options.direct) return;
    for (const door of doors) {
        const through = await once(clientName, server, door);
        if (through.fault !== undefined) {
            job.cells.push('no');
            said(door);
            tally.check(false, `${what} through ${door}`, through.fault);
            details.push(`${what} through ${door}: ${through.fault}\n${through.log}`);
            continue;
        }
        const results = new Map(through.transcript);
        let equal = 0;
        for (const [name, result] of direct.transcript) {
            const view = value => (views.get(name) ?? (same => same))(prompted(value, server.unprompted));
            const found = difference(view(result), results.has(name) ? view(results.get(name)) : undefined);
            if (found === undefined) equal++;
            tally.check(found === undefined, `${what} through ${door}: ${name}`, found);
        }
        job.cells.push(`${equal}/${direct.transcript.length}`);
        said(door);
    }
});
for (const fault of ends) tally.check(false, fault);

console.log('Steps that give what is expected (direct), and what the direct run gave (through Sluice):');
console.log(
    table([
        ['client', 'server', 'direct', ...(options.direct ? [] : doors.map(door => `${door} door`))],
        ...jobs.map(({ clientName, serverName, cells }) => [clientName, serverName, ...cells])
    ])
);
if (details.length > 0) console.log(`\n${details.join('\n\n')}`);
tally.finish();
