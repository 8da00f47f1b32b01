#!/usr/bin/env node
// Real clients with real servers, directly and through Sluice.
//
//   node run.mjs [--client NAME]… [--server NAME]… [--door NAME]… [--direct]
//
// Every client does the same script with a server directly and at the doors of a Sluice that has this server. The
// direct run must give what the script expects; the others must give what the direct run gave. merged.mjs has many
// servers behind one door.

import { parseArgs } from 'node:util';
import { Tally, inParallel, sluiceBinary, table } from '../node/lib.mjs';
import { directly, ends, throughDoor } from './attempt.mjs';
import { clients } from './clients.mjs';
import { difference, differenceOnMerged, prompted, short } from './compare.mjs';
import { onMergedDoor } from './names.mjs';
import { prepare, unprompted } from './servers.mjs';

const { values: options } = parseArgs({
    options: {
        client: { type: 'string', multiple: true },
        server: { type: 'string', multiple: true },
        door: { type: 'string', multiple: true },
        direct: { type: 'boolean', default: false }
    }
});
if (!options.direct) sluiceBinary();

const paths = {
    http: '/servers/{server}/mcp',
    sse: '/servers/{server}/sse',
    ws: 'ws:/servers/{server}/ws',
    // These have all servers as one: here with names as they are, there with the server's name before them.
    stdio: 'stdio',
    merged: '/mcp'
};

const over = transport => Object.keys(clients).filter(name => clients[name].speaks.includes(transport));
const sdks = over('http').filter(name => /^(ts|py)-/.test(name));

/** Server → door → the clients that are tried there. */
const plan = {
    'reference (http)': {
        http: sdks,
        stdio: ['ts-1.13', 'ts-2-auto', 'py-1', 'py-2-pin'],
        sse: ['ts-1.32', 'py-1'],
        ws: ['ts-1.32'],
        merged: ['ts-1.10', 'ts-1.32', 'ts-2-auto', 'ts-2-pin', 'py-1', 'py-2-legacy', 'py-2-pin']
    },
    'everything (sse)': { http: ['ts-1.32', 'py-1'] },
    'reference (stdio)': {
        http: ['ts-1.32', 'ts-2-auto', 'ts-2-pin', 'py-1', 'py-2-auto'],
        stdio: ['ts-1.32', 'ts-2-pin', 'py-2-auto'],
        merged: ['ts-1.32', 'ts-2-pin', 'py-2-auto']
    },
    everything: {
        http: ['ts-1.10', 'ts-1.13', 'ts-1.32', 'ts-2-auto', 'py-1', 'py-2-auto', 'mcp-remote'],
        stdio: ['ts-1.12', 'ts-2-auto', 'py-2-auto'],
        sse: ['ts-1.4', 'ts-1.10', 'ts-1.32', 'py-1', 'fastmcp-legacy', 'mcp-remote'],
        ws: ['ts-1.4', 'ts-1.32'],
        merged: ['ts-1.32', 'ts-2-legacy']
    },
    filesystem: { http: ['ts-1.32', 'py-2-auto'] },
    memory: { http: ['ts-2-legacy', 'py-1'] },
    time: { http: ['ts-2-pin', 'py-2-legacy'], stdio: ['py-2-pin'] },
    git: { http: ['fastmcp-pin'] },
    fetch: { http: ['fastmcp-auto'] },
    'demo-server': { http: ['ts-1.32', 'ts-2-pin', 'py-1', 'py-2-auto'] }
};

const wanted = (list, name) => list === undefined || list.some(part => name.includes(part));
const doors = Object.keys(paths).filter(door => options.door?.includes(door) ?? true);
const jobs = [];
for (const [serverName, byDoor] of Object.entries(plan)) {
    if (!wanted(options.server, serverName) || (options.direct && serverName === 'demo-server')) continue;
    for (const clientName of new Set(doors.flatMap(door => byDoor[door] ?? [])))
        if (options.client === undefined || options.client.includes(clientName))
            jobs.push({ serverName, clientName, doors: doors.filter(door => byDoor[door]?.includes(clientName)) });
}

const tally = new Tally();
const details = [];
const nameOf = step => step.name ?? step.op;

/** The direct run, which must give what the script expects; nothing when it did not even run. */
async function baseline({ clientName, serverName }, what) {
    const { steps, target, roots, hide, stop } = await prepare[serverName]();
    const direct = await directly(clientName, { it: target }, {
        steps: steps.map(step => ({ ...step, server: 'it' })),
        roots,
        hide
    });
    await stop?.();
    if (direct.fault !== undefined) {
        tally.check(false, `${what} direct`, direct.fault);
        details.push(`${what} direct: ${direct.fault}\n${direct.log}`);
        return undefined;
    }
    const expectations = new Map(steps.map(step => [nameOf(step), step.expect]));
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
    return { transcript: direct.transcript, good };
}

/** Without how long it took to connect. */
function untimed(result) {
    if (result?.took === undefined) return result;
    const { took: _, ...rest } = result;
    return rest;
}

/** The same at a door: how many steps give what they gave directly. */
async function at(door, { clientName, serverName }, direct, what) {
    const { steps, target, roots, hide, stop } = await prepare[serverName]();
    const merged = door === 'merged';
    const whole = merged || door === 'stdio';
    // Another server stands beside it, which must be noticed nowhere.
    const other = merged ? await prepare.time() : undefined;
    const lists = { resources: direct.get('resources'), templates: direct.get('templates') };
    const through = await throughDoor(clientName, { it: target, ...(merged && { other: other.target }) }, paths[door], {
        steps: merged ? onMergedDoor(steps, 'it', lists) : steps,
        proxy: door === 'stdio' ? { prefix: 'never' } : undefined,
        roots,
        hide
    });
    await stop?.();
    if (through.fault !== undefined) {
        tally.check(false, `${what} at ${door}`, through.fault);
        details.push(`${what} at ${door}: ${through.fault}\n${through.log}`);
        return 'no';
    }
    let equal = 0;
    for (const step of steps) {
        const name = nameOf(step);
        if (!direct.has(name)) continue;
        const view = value => (step.compare ?? (same => same))(prompted(untimed(value), unprompted(serverName)));
        const before = view(direct.get(name));
        const after = through.transcript.has(name) ? view(through.transcript.get(name)) : undefined;
        const found = whole
            ? differenceOnMerged(step, before, after, merged ? 'it' : undefined)
            : difference(before, after);
        if (found === undefined) equal++;
        tally.check(found === undefined, `${what} at ${door}: ${name}`, found);
    }
    return `${equal}/${direct.size}`;
}

await inParallel(3, jobs, async job => {
    const what = `${job.clientName} × ${job.serverName}`;
    const began = Date.now();
    const seconds = () => ((Date.now() - began) / 1000).toFixed(1);
    const said = (way, cell) => console.log(`${what}, ${way}: ${cell} after ${seconds()} s`);
    job.cells = { direct: 'no' };
    const direct = await baseline(job, what);
    if (direct === undefined) return;
    job.cells.direct = `${direct.good}/${direct.transcript.size}`;
    said('direct', job.cells.direct);
    if (options.direct) return;
    for (const door of job.doors) {
        job.cells[door] = await at(door, job, direct.transcript, what);
        said(door, job.cells[door]);
    }
});
for (const fault of ends) tally.check(false, fault);

console.log('Steps that give what is expected (direct), and what the direct run gave (at the doors of Sluice):');
const columns = ['direct', ...(options.direct ? [] : doors)];
console.log(
    table([
        ['client', 'server', ...columns],
        ...jobs.map(({ clientName, serverName, cells }) => [
            clientName,
            serverName,
            ...columns.map(column => cells[column] ?? '')
        ])
    ])
);
if (details.length > 0) console.log(`\n${details.join('\n\n')}`);
tally.finish();
