// The doors of Sluice at which the suite is run: a server's own, and the merged one.

import { join } from 'node:path';
import { cache, startSluice } from '../node/lib.mjs';

const command = join(cache, 'python-mcp2/bin/mcp-server-time');
const other = { transport: 'stdio', command, args: ['--local-timezone', 'Europe/Berlin'] };

/**
 * A Sluice in front of the server at `upstream`, and the `url` to try. At the merged door stands another server that
 * nobody is to notice, as long as names stay as they are.
 */
export async function startDoor(door, upstream) {
    const suite = { transport: 'http', url: upstream };
    if (door === 'own') {
        const sluice = await startSluice({ suite });
        return { sluice, url: sluice.url('suite') };
    }
    const sluice = await startSluice({ suite, other }, undefined, { prefix: 'never' });
    return { sluice, url: sluice.door('/mcp') };
}
