// The servers, and what it takes to start a fresh one: `prepare` returns the script, where the server is, how to end
// what was started beside it, and the directories that differ from run to run (`hide`).

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import {
    cache,
    freePort,
    packages,
    referenceServer,
    sluiceBinary,
    start,
    startReference,
    temporaryDirectory,
    until
} from '../node/lib.mjs';
import * as scripts from './scripts.mjs';

const npmServer = (name, ...args) => ({
    command: process.execPath,
    args: [join(packages, `@modelcontextprotocol/server-${name}/dist/index.js`), ...args]
});
const pythonServer = (name, ...args) => ({ command: join(cache, `python-mcp2/bin/mcp-server-${name}`), args });

/** A repository that is the same in every run. */
function repository(directory) {
    const when = '2026-01-02T03:04:05Z';
    const who = { GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@example.com', GIT_AUTHOR_DATE: when };
    const env = {
        PATH: process.env.PATH,
        ...who,
        GIT_COMMITTER_NAME: 'A',
        GIT_COMMITTER_EMAIL: 'a@example.com',
        GIT_COMMITTER_DATE: when,
        GIT_CONFIG_GLOBAL: '/dev/null',
        GIT_CONFIG_SYSTEM: '/dev/null'
    };
    const git = (...args) => execFileSync('git', ['-C', directory, ...args], { env, stdio: 'ignore' });
    git('init', '--initial-branch=main');
    writeFileSync(join(directory, 'a.txt'), 'eins\n');
    git('add', 'a.txt');
    git('commit', '-m', 'The first');
}

/** A small site, for the server that fetches pages. What is HTML would be simplified by yet another program. */
async function site() {
    const server = createServer((request, response) => {
        const found = request.url === '/page.txt';
        response.writeHead(found ? 200 : 404, { 'content-type': 'text/plain; charset=utf-8' });
        response.end(found ? 'Sluice is a gateway.' : 'none');
    });
    await new Promise(done => server.listen(0, '127.0.0.1', done));
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        stop: () => new Promise(done => server.close(done))
    };
}

/** A server as npm has it, over HTTP. `path` is where it answers. */
async function listening(kind, path) {
    const port = await freePort();
    const { command, args } = npmServer('everything', kind);
    const server = start(command, args, { env: { PORT: String(port) } });
    await until(10_000, `everything over ${kind}`, async () => {
        if (server.ended !== undefined) throw new Error(`it ended with ${server.ended}: ${server.err}`);
        return fetch(`http://127.0.0.1:${port}/`).then(
            answer => answer.arrayBuffer().then(() => true),
            () => false
        );
    });
    return { url: `http://127.0.0.1:${port}${path}`, stop: server.stop };
}

/** Servers by name. Those that are the same for all runs need no more than a `target`. */
export const prepare = {
    'reference (http)': async () => {
        const server = await startReference('--page-size', '7');
        return { steps: scripts.reference, target: { url: server.url }, stop: server.stop };
    },
    'reference (stdio)': async () => ({
        steps: scripts.reference,
        target: { command: process.execPath, args: [referenceServer, '--stdio', '--page-size', '7'] }
    }),
    everything: async () => ({ steps: scripts.everything, target: npmServer('everything') }),
    'everything (sse)': async () => {
        const server = await listening('sse', '/sse');
        // Which of the HTTP transports it is, is found out.
        const target = { url: server.url, upstream: { url: server.url } };
        return { steps: scripts.everything, target, stop: server.stop };
    },
    'everything (http)': async () => {
        const server = await listening('streamableHttp', '/mcp');
        return { steps: scripts.everything, target: { url: server.url }, stop: server.stop };
    },
    filesystem: async () => {
        const directory = join(temporaryDirectory(), 'files');
        mkdirSync(directory);
        return {
            steps: scripts.filesystem(directory),
            target: npmServer('filesystem', directory),
            roots: [`file://${directory}`],
            hide: [directory]
        };
    },
    memory: async () => {
        const directory = temporaryDirectory();
        return {
            steps: scripts.memory,
            target: { ...npmServer('memory'), env: { MEMORY_FILE_PATH: join(directory, 'memory.jsonl') } },
            hide: [directory]
        };
    },
    time: async () => ({
        steps: scripts.time,
        target: pythonServer('time', '--local-timezone', 'Europe/Berlin')
    }),
    git: async () => {
        const directory = temporaryDirectory();
        repository(directory);
        const target = pythonServer('git', '--repository', directory);
        return { steps: scripts.git(directory), target, hide: [directory] };
    },
    fetch: async () => {
        const { url, stop } = await site();
        const target = pythonServer('fetch', '--ignore-robots-txt', '--allow-private-ips');
        return { steps: scripts.fetch(url), target, stop };
    },
    'demo-server': async () => ({
        steps: scripts.demo,
        target: { command: sluiceBinary(), args: ['demo-server', '--stdio'] }
    })
};

/** Servers that ask clients on their own account, some time after they were initialised: in which step is chance. */
export const unprompted = name => (name.startsWith('everything') ? 'roots' : undefined);
