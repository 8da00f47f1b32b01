// What the runners share: child processes that never stay behind, a Sluice in front of servers, counting.

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const cache = join(root, 'tests/.cache');
export const packages = join(cache, 'node/node_modules');
export const referenceServer = join(root, 'tests/conformance/server.mjs');

/** The binary under test. */
export function sluiceBinary() {
    const binary = resolve(root, process.env.SLUICE_BIN ?? 'target/release/sluice');
    if (!existsSync(binary)) throw new Error(`${binary} does not exist; build it, or set SLUICE_BIN`);
    return binary;
}

const children = new Set();
const marks = new Set();
const directories = new Set();

/** A directory of this process, gone when it ends. */
export function temporaryDirectory() {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-tests-'));
    directories.add(directory);
    return directory;
}

function killGroup(child, signal) {
    try {
        process.kill(-child.pid, signal);
    } catch (error) {
        if (error.code !== 'ESRCH') throw error;
    }
}

process.on('exit', () => {
    for (const child of children) killGroup(child, 'SIGKILL');
    for (const mark of marks) killMarked(mark);
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});
for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129]
])
    process.on(signal, () => process.exit(code));

/** Resolves with what `promise` gives, or rejects when that takes too long. */
export function within(ms, what, promise) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms} ms`)), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks until the answer is not `undefined` or false; the deadline is an error. */
export async function until(ms, what, ask) {
    const deadline = Date.now() + ms;
    for (;;) {
        const answer = await ask();
        if (answer !== undefined && answer !== false) return answer;
        if (Date.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
        await new Promise(wake => setTimeout(wake, 25));
    }
}

/**
 * A child in its own process group. `stop()` ends the group, asks politely first, and tells whether that was enough.
 */
export function start(command, args, { env, stdio = ['ignore', 'pipe', 'pipe'], cwd = root } = {}) {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio, cwd, detached: true });
    children.add(child);
    const record = { child, pid: child.pid, err: '', ended: undefined };
    child.stderr?.setEncoding('utf8').on('data', text => {
        record.err = (record.err + text).slice(-65_536);
    });
    record.exit = new Promise(done => {
        child.on('error', error => {
            record.ended = String(error);
            done(record.ended);
        });
        child.on('exit', (code, signal) => {
            record.ended = signal ?? code;
            done(record.ended);
        });
    });
    record.stop = async () => {
        killGroup(child, 'SIGTERM');
        const polite = await within(10_000, `${command} after SIGTERM`, record.exit).then(
            () => true,
            () => false
        );
        killGroup(child, 'SIGKILL');
        await record.exit;
        children.delete(child);
        return polite;
    };
    return record;
}

/** Runs to the end; `out` and `err` are what it wrote. */
export async function run(command, args, { env, timeout = 300_000, cwd } = {}) {
    const process_ = start(command, args, { env, cwd });
    let out = '';
    process_.child.stdout.setEncoding('utf8').on('data', text => (out += text));
    const closed = new Promise(done => process_.child.on('close', done));
    try {
        await within(timeout, `${basename(command)} ${basename(args[0] ?? '')}`, Promise.all([process_.exit, closed]));
    } finally {
        killGroup(process_.child, 'SIGKILL');
        children.delete(process_.child);
    }
    return { code: process_.ended, out, err: process_.err };
}

/**
 * A mark for the environment of everything that one test starts. SDKs put servers into process groups of their own,
 * so this is how what stays behind is found; whatever has it is gone when this process ends.
 */
export function newMark() {
    const mark = randomUUID();
    marks.add(mark);
    return mark;
}

export function killMarked(mark) {
    for (const line of processesWith(mark))
        try {
            process.kill(Number.parseInt(line, 10), 'SIGKILL');
        } catch (error) {
            if (error.code !== 'ESRCH') throw error;
        }
    marks.delete(mark);
}

/** The command lines of living processes with this in their environment. */
export function processesWith(mark) {
    const found = [];
    for (const pid of readdirSync('/proc')) {
        if (!/^\d+$/.test(pid)) continue;
        try {
            if (!readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark)) continue;
            found.push(`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`);
        } catch {
            // It ended meanwhile, or is not ours.
        }
    }
    return found;
}

/** A port that was free a moment ago. */
export function freePort() {
    return new Promise((done, fail) => {
        const socket = createServer();
        socket.on('error', fail);
        socket.listen(0, '127.0.0.1', () => {
            const { port } = socket.address();
            socket.close(() => done(port));
        });
    });
}

/** Starts the reference server; `url` is where it listens. */
export async function startReference(...args) {
    const server = start(process.execPath, [referenceServer, ...args]);
    const line = await within(
        10_000,
        'reference server',
        Promise.race([
            new Promise(done => createInterface(server.child.stdout).once('line', done)),
            server.exit.then(code => {
                throw new Error(`the reference server ended with ${code}: ${server.err}`);
            })
        ])
    );
    return { url: JSON.parse(line).url, stop: server.stop };
}

/** Writes a configuration for `servers` and returns the arguments that run it. */
export function sluiceArguments(servers, more = {}) {
    const directory = temporaryDirectory();
    const file = join(directory, 'sluice.json');
    writeFileSync(file, JSON.stringify({ ...more, servers }, null, 2));
    return ['run', '--config', file, '--state-dir', join(directory, 'state')];
}

/**
 * A Sluice in front of `servers`; `url(name)` is the door to one of them, `door(path)` any other (`ws:` before the path
 * for WebSocket). `proxy` is more for that part of the configuration, `more` has others.
 */
export async function startSluice(servers, env, proxy, more) {
    for (let attempt = 1; ; attempt++) {
        const [port, admin] = await Promise.all([freePort(), freePort()]);
        const args = sluiceArguments(servers, { ...more, proxy: { ...proxy, host: '127.0.0.1', port } });
        const sluice = start(sluiceBinary(), [...args, '--admin', `127.0.0.1:${admin}`], {
            stdio: ['ignore', 'ignore', 'pipe'],
            env
        });
        try {
            await until(20_000, 'Sluice is ready', async () => {
                if (sluice.ended !== undefined)
                    throw new Error(`Sluice ended with ${sluice.ended}: ${sluice.err.slice(-2_000)}`);
                const answer = await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => undefined);
                await answer?.arrayBuffer();
                return answer?.ok;
            });
        } catch (error) {
            await sluice.stop();
            // Somebody took the port in between.
            if (attempt < 3 && /in use/i.test(sluice.err)) continue;
            throw error;
        }
        return {
            url: name => `http://127.0.0.1:${port}/servers/${name}/mcp`,
            door: path =>
                path.startsWith('ws:') ? `ws://127.0.0.1:${port}${path.slice(3)}` : `http://127.0.0.1:${port}${path}`,
            admin: `http://127.0.0.1:${admin}`,
            log: () => sluice.err,
            pid: sluice.pid,
            stop: sluice.stop
        };
    }
}

/** Counts, and says what failed. */
export class Tally {
    passed = 0;
    failed = 0;
    faults = [];
    check(ok, what, why = '') {
        if (ok) this.passed++;
        else {
            this.failed++;
            this.faults.push(why === '' ? what : `${what}: ${why}`);
        }
        return ok;
    }
    /** The line that tests/run reads, and the exit code. */
    finish() {
        if (this.faults.length > 0) {
            console.log('\nFailed:');
            for (const fault of this.faults) console.log(`  ${fault}`);
        }
        console.log(`\n${this.passed} passed, ${this.failed} failed`);
        process.exit(this.failed === 0 && this.passed > 0 ? 0 : 1);
    }
}

/** Rows of text as columns. */
export function table(rows) {
    const widths = [];
    for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, String(cell).length)));
    return rows.map(row => '  ' + row.map((cell, i) => String(cell).padEnd(widths[i])).join('  ').trimEnd()).join('\n');
}

/** Does things a few at a time; the results are in the order of the items. */
export async function inParallel(limit, items, work) {
    const results = new Array(items.length);
    let next = 0;
    await Promise.all(
        Array.from({ length: Math.min(limit, items.length) }, async () => {
            while (next < items.length) {
                const i = next++;
                results[i] = await work(items[i]);
            }
        })
    );
    return results;
}
