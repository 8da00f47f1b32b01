#!/usr/bin/env node
// The SDKs' own OAuth clients sign in to a server behind Sluice: from its 401 over the metadata of the protected resource to
// the scripted authorization server, and with a token of it to the server's tools.
//
//   node oauth.mjs [--client NAME]…

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Tally, cache, inParallel, root, run, sluiceBinary, startReference, startSluice, table } from '../node/lib.mjs';
import { startIssuer } from './oauth/issuer.mjs';

const { values: options } = parseArgs({ options: { client: { type: 'string', multiple: true } } });
sluiceBinary();

const folder = join(root, 'tests/clients/oauth');
const typescript = [process.execPath, join(folder, 'driver.mjs')];
const python = name => [join(cache, name, 'bin/python'), join(folder, 'driver.py')];
const clients = {
    'ts-1.13': typescript,
    'ts-1.32': typescript,
    'ts-2-legacy': typescript,
    'ts-2-auto': typescript,
    'ts-2-pin': typescript,
    'py-1': python('python-mcp1'),
    'py-2-legacy': python('python-mcp2'),
    'py-2-auto': python('python-mcp2'),
    'py-2-pin': python('python-mcp2')
};
/** Seconds a token lives: longer than signing in takes, and short enough to wait for its end. */
const LIFETIME = 6;
/** Every token must have it; clients learn so from the 401 and ask for it. */
const SCOPE = 'mcp:use';
const doors = { merged: '/mcp', own: '/servers/it/mcp' };

const tally = new Tally();
const rows = [];

async function signIn(client, door) {
    const issuer = await startIssuer({ lifetime: LIFETIME });
    const reference = await startReference();
    const issuers = { scripted: { issuer: issuer.url, leeway_seconds: 0, required_scopes: [SCOPE] } };
    const proxy = door === 'merged' ? { prefix: 'never' } : {};
    const sluice = await startSluice({ it: { url: reference.url } }, {}, proxy, { issuers });
    try {
        const url = sluice.door(doors[door]);
        const [command, driver] = clients[client];
        const spec = { client, url, wait: (LIFETIME + 2) * 1000, scope: SCOPE };
        const { code, out, err } = await run(command, [driver, JSON.stringify(spec)], { timeout: 60_000 });
        const line = out.trim().split('\n').at(-1);
        const said = line?.startsWith('{') ? JSON.parse(line) : undefined;
        const { seen } = issuer;
        const what = `${client} at ${door}`;
        const before = tally.failed;
        tally.check(code === 0 && said !== undefined, `${what}: signs in`, `${err.slice(-2_000)}\n${sluice.log().slice(-3_000)}`);
        tally.check(said?.tools.includes('test_simple_text'), `${what}: lists tools`);
        tally.check(said?.calls.length === 2 && said.calls[0] === said.calls[1], `${what}: calls before and after its token expired`);
        tally.check(said?.same === true, `${what}: goes on in the same session`);
        tally.check(seen.register === 1 && seen.authorize >= 1 && seen.code >= 1, `${what}: registers and authorizes`, JSON.stringify(seen));
        tally.check(seen.refresh + seen.code >= 2, `${what}: gets a second token`, JSON.stringify(seen));
        tally.check([...seen.resources].every(resource => url.startsWith(resource)), `${what}: asks for this resource`, [...seen.resources].join());
        tally.check([...seen.scopes].every(scope => scope.split(' ').includes(SCOPE)), `${what}: asks for the scope`, [...seen.scopes].join());
        tally.check(seen.faults.length === 0, `${what}: makes no mistake`, seen.faults.join('; '));
        tally.check(!sluice.log().includes('eyJ'), `${what}: no token is in the log`);
        rows.push([client, door, tally.failed === before ? 'yes' : 'no', seen.refresh > 0 ? 'refreshed' : 'signed in again']);
    } finally {
        await sluice.stop();
        await reference.stop();
        await issuer.stop();
    }
}

const jobs = Object.keys(clients)
    .filter(client => options.client === undefined || options.client.includes(client))
    .flatMap(client => Object.keys(doors).map(door => ({ client, door })));
await inParallel(3, jobs, ({ client, door }) =>
    signIn(client, door).catch(error => tally.check(false, `${client} at ${door}`, String(error?.stack ?? error)))
);
rows.sort();
console.log('SDKs that sign in by OAuth through Sluice, and what they did when their token had expired:');
console.log(table([['client', 'door', 'signs in', 'then'], ...rows]));
tally.finish();
