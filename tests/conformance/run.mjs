#!/usr/bin/env node
// Runs the MCP conformance suite with and without Sluice, and compares check by check.
//
//   node run.mjs [server|client] [--direct] [--door own|merged]…
//
// Server scenarios: what the reference server gives directly, it gives through Sluice, for every check of every
// scenario, those that do not count for the suite's own score included: at the server's own door, and at the merged
// door where another server stands beside it and names stay as they are. Client scenarios: what an SDK's client
// achieves directly against the suite's servers, it achieves at the same doors. --direct leaves Sluice out.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
    Tally,
    cache,
    inParallel,
    packages,
    root,
    run,
    sluiceBinary,
    startReference,
    table
} from '../node/lib.mjs';
import { startDoor } from './doors.mjs';

const { values: options, positionals } = parseArgs({
    options: { direct: { type: 'boolean', default: false }, door: { type: 'string', multiple: true } },
    allowPositionals: true
});
const wants = part => positionals.length === 0 || positionals.includes(part);
if (!options.direct) sluiceBinary();

const suite = join(packages, '@modelcontextprotocol/conformance/dist/index.js');
const results = join(cache, 'conformance');
rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });
const tally = new Tally();

/** Scenario → its checks, from what the suite saved. */
function saved(directory, prefix = '') {
    const found = new Map();
    if (!existsSync(directory)) return found;
    for (const entry of readdirSync(directory).sort()) {
        const match = /^(.*)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(entry);
        const file = join(directory, entry, 'checks.json');
        if (match === null || !existsSync(file)) continue;
        found.set(match[1].slice(prefix.length), JSON.parse(readFileSync(file, 'utf8')));
    }
    return found;
}

/** `id (name)` → statuses in order. INFO is the suite's log of the wire, not a judgement. */
function verdicts(checks) {
    const byCheck = new Map();
    for (const { id, name, status, errorMessage } of checks) {
        if (status === 'INFO') continue;
        const key = name === undefined || name === id ? id : `${id} (${name})`;
        if (!byCheck.has(key)) byCheck.set(key, []);
        byCheck.get(key).push({ status, errorMessage });
    }
    return byCheck;
}
const statuses = list => (list === undefined ? 'absent' : list.map(v => v.status).join(','));
const reason = list => list?.find(v => v.errorMessage !== undefined)?.errorMessage ?? '';
const bad = new Set(['FAILURE', 'WARNING']);
const failing = checks => checks.some(check => check.status === 'FAILURE');

// ---- server scenarios ----------------------------------------------------------------------------------------

/** Doors of Sluice at which the suite is run. */
const doors = ['own', 'merged'].filter(door => options.door?.includes(door) ?? true);
/** Where a door does not give everything yet; tried only when the door is named. */
const later = {};

const revisions = { '2025-11-25': 30, '2026-07-28': 37 };

async function serverRun(revision, door) {
    const reference = await startReference();
    let sluice;
    try {
        let url = reference.url;
        if (door !== 'direct') ({ sluice, url } = await startDoor(door, reference.url));
        const directory = join(results, `server-${revision}-${door}`);
        const { out, err } = await run(process.execPath, [
            suite,
            'server',
            '--url',
            url,
            '--requirements',
            revision,
            '--output-dir',
            directory
        ]);
        const unscored = new Set(
            [...(out + err).matchAll(/^\s+[✓✗] (\S+) \((?:extension|added-after-release|pending)\)/gm)].map(m => m[1])
        );
        return { scenarios: saved(directory, 'server-'), unscored, out: out + err, log: sluice?.log() };
    } finally {
        if (sluice && !(await sluice.stop()))
            tally.check(false, `${revision}: Sluice ends within 10 s of SIGTERM`);
        await reference.stop();
    }
}

async function servers() {
    for (const [revision, expected] of Object.entries(revisions)) {
        const direct = await serverRun(revision, 'direct');
        const scored = [...direct.scenarios].filter(([name]) => !direct.unscored.has(name));
        const good = scored.filter(([, checks]) => !failing(checks)).length;
        console.log(`\nServer scenarios, ${revision}`);
        console.log(`  direct:  ${good}/${expected} scored, ${direct.unscored.size} unscored scenarios run`);
        tally.check(
            good === expected && scored.length === expected,
            `server ${revision} direct`,
            `${good} of ${expected} scored scenarios pass`
        );
        for (const name of direct.unscored)
            tally.check(
                direct.scenarios.has(name) && !failing(direct.scenarios.get(name)),
                `server ${revision} direct: ${name}`,
                'the reference server does not pass this unscored scenario any more'
            );
        if (options.direct) continue;
        for (const door of doors)
            if (options.door !== undefined || !later[revision]?.includes(door))
                compare(revision, expected, door, direct, await serverRun(revision, door));
    }
}

/**
 * Checks that the suite makes only of answers that come as a stream. The merged door answers lists by itself, as JSON,
 * and the suite notes that streams are optional.
 */
const ofStreams = new Map([
    ['server-sse-streams-functional (ServerSSEStreamsFunctional)', 'server-sse-streams-functional']
]);

/** Counts what a door gives, check by check. */
function compare(revision, expected, door, direct, through) {
    const rows = [['scenario', 'check', 'direct', door, 'why']];
    let equal = 0;
    let good = 0;
    for (const [name, checks] of direct.scenarios) {
        const before = verdicts(checks);
        const judged = through.scenarios.get(name) ?? [];
        const after = verdicts(judged);
        const noted = new Set(judged.filter(check => check.status === 'INFO').map(check => check.id));
        const differences = [...new Set([...before.keys(), ...after.keys()])].filter(
            key => statuses(before.get(key)) !== statuses(after.get(key)) && !noted.has(ofStreams.get(key))
        );
        const here = through.scenarios.has(name);
        if (here && !direct.unscored.has(name) && !failing(through.scenarios.get(name))) good++;
        const same = here && differences.length === 0;
        if (same) equal++;
        tally.check(
            same,
            `server ${revision} ${name} at the ${door} door`,
            here ? `${differences.length} of ${before.size} checks differ` : 'did not run'
        );
        for (const key of differences)
            rows.push([
                name,
                key,
                statuses(before.get(key)),
                statuses(after.get(key)),
                (reason(after.get(key)) || reason(before.get(key))).replace(/\s+/g, ' ').slice(0, 300)
            ]);
    }
    const words = `${good}/${expected} scored; ${equal} of ${direct.scenarios.size} scenarios equal`;
    console.log(`  ${`${door}:`.padEnd(8)} ${words}`);
    if (rows.length > 1) console.log(table(rows));
    if (through.scenarios.size === 0) console.log(through.out.slice(-3_000), through.log?.slice(-3_000));
}

// ---- client scenarios ----------------------------------------------------------------------------------------

const old = ['sdk1', 'sdk2-legacy', 'sdk2-auto'];
const modern = ['sdk2-auto', 'sdk2-pin'];
const clientScenarios = [
    ['initialize', { '2025-11-25': old }],
    ['tools_call', { '2025-11-25': old, '2026-07-28': modern }],
    ['request-metadata', { '2026-07-28': modern }],
    ['http-standard-headers', { '2026-07-28': modern }],
    ['http-custom-headers', { '2026-07-28': modern }],
    ['http-invalid-tool-headers', { '2026-07-28': modern }],
    ['sse-retry', { '2025-11-25': old }],
    ['sep-2322-client-request-state', { '2026-07-28': modern }],
    ['json-schema-ref-no-deref', { '2026-07-28': modern }],
    ['json-schema-2020-12-preservation', { '2025-11-25': old, '2026-07-28': modern }],
    ['elicitation-sep1034-client-defaults', { '2025-11-25': old }]
];

async function clientRun({ scenario, revision, driver }, door) {
    const directory = join(results, `client-${scenario}-${revision}-${driver}-${door}`);
    const { code, out, err } = await run(
        process.execPath,
        [
            suite,
            'client',
            '--command',
            `${process.execPath} ${join(root, 'tests/conformance/client.mjs')}`,
            '--scenario',
            scenario,
            '--spec-version',
            revision,
            '--output-dir',
            directory
        ],
        { env: { DRIVER: driver, ...(door !== 'direct' && { DOOR: door }) }, timeout: 90_000 }
    );
    return { code, checks: saved(directory).get(scenario), output: out + err };
}

/** What got worse: a good verdict lost, or a bad one that was not there. */
function worse(before, after) {
    const rows = [];
    for (const [key, list] of before)
        if (list.some(v => v.status === 'SUCCESS') && !list.some(v => bad.has(v.status))) {
            const now = after.get(key);
            if (now === undefined || now.some(v => v.status !== 'SUCCESS')) rows.push(key);
        }
    for (const [key, list] of after)
        if (list.some(v => bad.has(v.status)) && !rows.includes(key))
            if (!before.get(key)?.some(v => bad.has(v.status))) rows.push(key);
    return rows;
}

/** Counts what a client achieves at a door. */
function judge(what, direct, through, details) {
    const before = verdicts(direct.checks);
    const after = verdicts(through.checks ?? []);
    const lost = worse(before, after);
    const ok = through.checks !== undefined && lost.length === 0 && (direct.code !== 0 || through.code === 0);
    tally.check(ok, what, lost.length > 0 ? lost.join('; ') : 'the client fails through Sluice');
    if (ok) return;
    for (const key of lost) {
        const change = `${statuses(before.get(key))} → ${statuses(after.get(key))}`;
        details.push(`${what}: ${key}: ${change} ${reason(after.get(key))}`);
    }
    if (lost.length === 0 || through.checks === undefined) details.push(`${what}\n${through.output.slice(-2_500)}`);
}

async function clients() {
    const jobs = clientScenarios.flatMap(([scenario, byRevision]) =>
        Object.entries(byRevision).flatMap(([revision, drivers]) =>
            drivers.map(driver => ({ scenario, revision, driver }))
        )
    );
    const used = options.direct ? [] : doors;
    const rows = [['scenario', 'revision', 'client', 'direct', ...used]];
    const details = [];
    await inParallel(2, jobs, async job => {
        job.direct = await clientRun(job, 'direct');
        job.through = new Map();
        for (const door of used) job.through.set(door, await clientRun(job, door));
    });
    const score = result => {
        if (result?.checks === undefined) return 'did not run';
        const judged = result.checks.filter(check => !['INFO', 'SKIPPED'].includes(check.status));
        const good = judged.filter(check => check.status === 'SUCCESS').length;
        return `${good}/${judged.length}${result.code === 0 ? '' : ' failed'}`;
    };
    for (const { scenario, revision, driver, direct, through } of jobs) {
        const what = `client ${scenario} ${revision} ${driver}`;
        rows.push([scenario, revision, driver, score(direct), ...used.map(door => score(through.get(door)))]);
        if (direct.checks === undefined) {
            tally.check(false, what, 'the baseline did not run');
            details.push(direct.output.slice(-1_500));
        } else if (options.direct) {
            tally.check(direct.code === 0, what, 'the baseline fails');
            if (direct.code !== 0) details.push(`${what}\n${direct.output.slice(-2_500)}`);
        }
        if (direct.checks !== undefined)
            for (const [door, result] of through) judge(`${what} at the ${door} door`, direct, result, details);
    }
    console.log('\nClient scenarios');
    console.log(table(rows));
    if (details.length > 0) console.log(`\n${details.join('\n')}`);
}

if (wants('server')) await servers();
if (wants('client')) await clients();
tally.finish();
