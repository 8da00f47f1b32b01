#!/usr/bin/env node
// Real clients with many real servers behind one door of Sluice.
//
//   node merged.mjs [--client NAME]… [--set NAME]… [--door NAME]…
//
// Every client does the scripts of all servers of a set, each server directly, and then all at one door. The lists
// there must be the union of the direct ones, and every step must give what it gave directly, but for names and URIs.

import { parseArgs } from 'node:util';
import { Tally, inParallel, sluiceBinary, table } from '../node/lib.mjs';
import { directly, ends, throughDoor } from './attempt.mjs';
import { short } from './compare.mjs';
import { prepare } from './servers.mjs';
import { sets } from './sets.mjs';
import { fault, mergedSteps } from './union.mjs';

const { values: options } = parseArgs({
    options: {
        client: { type: 'string', multiple: true },
        set: { type: 'string', multiple: true },
        door: { type: 'string', multiple: true }
    }
});
sluiceBinary();

const paths = { http: '/mcp', sse: '/sse', ws: 'ws:/ws', stdio: 'stdio' };

const doors = Object.keys(paths).filter(door => options.door?.includes(door) ?? true);
const nameOf = step => step.name ?? step.op;

/** The steps that a client does with a server: all, or a few where each is a process and a session of its own. */
function selected(clientName, steps) {
    // A door that had to begin without a server cannot say that it has tasks; run.mjs tries them.
    if (clientName !== 'inspector') return steps.filter(({ op }) => op !== 'task');
    const kinds = ['tools', 'prompts', 'resources', 'call', 'read', 'prompt'];
    const few = kinds.map(op => steps.find(step => step.op === op));
    return steps.filter(step => few.includes(step)).map(({ again, ...step }) => step);
}

/** Fresh servers of a set, and everything that the scripts need. */
async function fresh(servers, clientName) {
    const ready = await Promise.all(
        Object.entries(servers).map(async ([server, kind]) => ({ server, ...(await prepare[kind]()) }))
    );
    const steps = ready.flatMap(({ server, steps }) =>
        selected(clientName, steps).map(step => ({ ...step, server, name: `${server}: ${nameOf(step)}` }))
    );
    return {
        targets: Object.fromEntries(ready.map(({ server, target }) => [server, target])),
        steps,
        roots: ready.find(({ roots }) => roots !== undefined)?.roots,
        hide: ready.flatMap(({ hide }) => hide ?? []),
        stop: () => Promise.all(ready.map(({ stop }) => stop?.()))
    };
}

const baselines = new Map();
/** What a client has from each server directly, in the era that the door will speak. */
function baseline({ setName, set, clientName }) {
    const name = set.era === undefined ? clientName : clientName.replace(/-auto$/, `-${set.era}`);
    const key = `${name} × ${setName}`;
    if (!baselines.has(key)) baselines.set(key, askDirectly(name, set));
    return baselines.get(key);
}

async function askDirectly(clientName, set) {
    const servers =
        set.direct === undefined
            ? set.servers
            : Object.fromEntries(Object.keys(set.servers).map(server => [server, set.direct]));
    const { targets, stop, ...script } = await fresh(servers, clientName);
    const direct = await directly(clientName, targets, script);
    await stop();
    return { ...direct, steps: script.steps };
}

const tally = new Tally();
const details = [];

/** What the direct runs gave, if it is what the scripts expect. */
async function checked(job, what) {
    const { transcript, steps, fault: none, log } = await baseline(job);
    if (none !== undefined) {
        tally.check(false, `${what} directly`, none);
        details.push(`${what} directly: ${none}\n${log}`);
        return undefined;
    }
    for (const { name, expect } of steps.filter(step => transcript.has(step.name))) {
        let met = false;
        try {
            met = Boolean(expect(transcript.get(name)));
        } catch {
            // The result has not even the form that is looked at.
        }
        tally.check(met, `${what} directly: ${name}`, short(transcript.get(name)));
    }
    return transcript;
}

/** The scripts of all servers at one door: how many steps give what they should. */
async function at(door, { set, clientName }, direct, what) {
    const { targets, steps, stop, ...script } = await fresh(set.servers, clientName);
    const merged = mergedSteps(steps, direct);
    // Where each step is a session of its own, sessions share their processes.
    const isolation = clientName === 'inspector' ? 'shared' : undefined;
    const through = await throughDoor(clientName, targets, paths[door], { ...script, steps: merged, isolation });
    await stop();
    if (through.fault !== undefined) {
        tally.check(false, `${what} at ${door}`, through.fault);
        details.push(`${what} at ${door}: ${through.fault}\n${through.log}`);
        return 'no';
    }
    const faults = merged.map(step => [step.name, fault(step, direct, through.transcript)]);
    for (const [name, found] of faults) tally.check(found === undefined, `${what} at ${door}: ${name}`, found);
    return `${faults.filter(([, found]) => found === undefined).length}/${faults.length}`;
}

/** A client that speaks none of what the door speaks gets an error that says so. */
async function refusal({ set, clientName }, what) {
    const { targets, stop, ...script } = await fresh(set.servers, clientName);
    const { fault: none, log, transcript } = await throughDoor(clientName, targets, paths.http, {
        ...script,
        steps: [{ op: 'tools' }]
    });
    await stop();
    const said = none === undefined ? JSON.stringify(transcript.get('tools')?.error ?? 'no error') : log;
    const clear = /2025-11-25|initialize|door_is_legacy/.test(said);
    tally.check(clear, `${what}: is told what the door speaks`, said);
    return clear ? 'refused' : 'no';
}

const wanted = (list, name) => list === undefined || list.includes(name);
const jobs = Object.entries(sets)
    .filter(([setName]) => wanted(options.set, setName))
    .flatMap(([setName, set]) => {
        const tried = [...new Set(doors.flatMap(door => set.doors[door] ?? []))];
        const refused = doors.includes('http') ? (set.refused ?? []) : [];
        const names = [...tried, ...refused].filter(name => wanted(options.client, name));
        return names.map(clientName => ({ setName, set, clientName }));
    });

await inParallel(2, jobs, async job => {
    const { set, setName, clientName } = job;
    const what = `${clientName} × ${setName}`;
    const began = Date.now();
    job.cells = {};
    if (set.refused?.includes(clientName)) {
        job.cells.http = await refusal(job, what);
        return;
    }
    const direct = await checked(job, what);
    if (direct === undefined) return;
    for (const door of doors.filter(door => set.doors[door]?.includes(clientName))) {
        job.cells[door] = await at(door, job, direct, what);
        console.log(`${what}, ${door}: ${job.cells[door]} after ${((Date.now() - began) / 1000).toFixed(1)} s`);
    }
});
for (const end of ends) tally.check(false, end);

console.log('Steps that give at one door what they give with each server directly:');
console.log(
    table([
        ['client', 'set', ...doors],
        ...jobs.map(({ clientName, setName, cells }) => [clientName, setName, ...doors.map(door => cells[door] ?? '')])
    ])
);
if (details.length > 0) console.log(`\n${details.join('\n\n')}`);
tally.finish();
