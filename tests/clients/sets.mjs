// The sets of servers that stand behind one door, and which clients are tried there.

import { negotiating, pinned } from './clients.mjs';

/** `servers` are by the name they have at the door; `doors` say which clients are tried where. */
export const sets = {
    // As many people have them: all over stdio, and some of the older era, which therefore is what the door speaks.
    desk: {
        era: 'legacy',
        servers: Object.fromEntries(['everything', 'filesystem', 'memory', 'time', 'git'].map(name => [name, name])),
        doors: {
            http: [
                'ts-1.10',
                'ts-1.12',
                'ts-1.13',
                'ts-1.32',
                'ts-2-legacy',
                'ts-2-auto',
                'py-1',
                'py-2-legacy',
                'py-2-auto',
                'fastmcp-auto',
                'inspector',
                'mcp-remote'
            ],
            stdio: ['ts-1.32', 'ts-2-auto', 'py-1', 'fastmcp-auto'],
            sse: ['ts-1.4', 'py-1', 'mcp-remote'],
            ws: ['ts-1.4']
        },
        // Clients of the other era alone are told so.
        refused: pinned
    },
    // Servers of both eras, so that clients of either find all of them.
    modern: {
        servers: Object.fromEntries(['time', 'git', 'fetch'].map(name => [name, name])),
        doors: { http: [...pinned, ...negotiating, 'ts-1.32'], stdio: ['ts-2-pin'] }
    },
    // One server over three transports: nothing tells its tools and resources apart but Sluice.
    mixed: {
        servers: { process: 'everything', sse: 'everything (sse)', http: 'everything (http)' },
        // What the transports do to the server itself is not what is tried here.
        direct: 'everything',
        doors: { http: ['ts-1.32', 'py-2-legacy'], sse: ['ts-1.4'] }
    }
};
