// The clients: how to start each, and what they speak.

import { join } from 'node:path';
import { cache, root } from '../node/lib.mjs';

const here = join(root, 'tests/clients');
const typescript = [process.execPath, join(here, 'driver.mjs')];
const python = name => [join(cache, name, 'bin/python'), join(here, 'driver.py')];

/** `command` does a script; `speaks` are the transports. */
export const clients = {
    'ts-1.4': { command: typescript, speaks: ['sse', 'ws', 'stdio'] },
    'ts-1.10': { command: typescript, speaks: ['http', 'sse', 'stdio'] },
    'ts-1.12': { command: typescript, speaks: ['http', 'sse', 'stdio'] },
    'ts-1.13': { command: typescript, speaks: ['http', 'sse', 'stdio'] },
    'ts-1.32': { command: typescript, speaks: ['http', 'sse', 'ws', 'stdio'] },
    'ts-2-legacy': { command: typescript, speaks: ['http', 'stdio'] },
    'ts-2-auto': { command: typescript, speaks: ['http', 'stdio'] },
    'ts-2-pin': { command: typescript, speaks: ['http', 'stdio'] },
    'py-1': { command: python('python-mcp1'), speaks: ['http', 'sse', 'stdio'] },
    'py-2-legacy': { command: python('python-mcp2'), speaks: ['http', 'stdio'] },
    'py-2-auto': { command: python('python-mcp2'), speaks: ['http', 'stdio'] },
    'py-2-pin': { command: python('python-mcp2'), speaks: ['http', 'stdio'] },
    'fastmcp-legacy': { command: python('python-fastmcp'), speaks: ['http', 'sse', 'stdio'] },
    'fastmcp-auto': { command: python('python-fastmcp'), speaks: ['http', 'sse', 'stdio'] },
    'fastmcp-pin': { command: python('python-fastmcp'), speaks: ['http', 'stdio'] },
    inspector: { command: [process.execPath, join(here, 'inspector.mjs')], speaks: ['http', 'sse', 'stdio'] },
    // Servers that are reached over stdio it leaves to the SDK's client in front of it.
    'mcp-remote': { command: typescript, speaks: ['http', 'sse', 'stdio'] }
};

/** Clients that speak the modern era and nothing else. */
export const pinned = Object.keys(clients).filter(name => name.endsWith('-pin'));
/** Clients that speak the modern era where a server does, and the older one elsewhere. */
export const negotiating = Object.keys(clients).filter(name => name.endsWith('-auto'));
