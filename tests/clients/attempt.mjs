// One client doing one script, with whatever stands between it and its servers.

import {
    killMarked,
    newMark,
    processesWith,
    run,
    sluiceArguments,
    sluiceBinary,
    startSluice,
    temporaryDirectory,
    until
} from '../node/lib.mjs';
import { clients } from './clients.mjs';
import { hideVariable } from './compare.mjs';

/** What did not end as it should, of all attempts. */
export const ends = [];

/** How a configuration names a target. */
function upstreamOf(target, mark, isolation) {
    if (target.upstream) return target.upstream;
    if (target.url) return { transport: 'http', url: target.url };
    const env = { ...target.env, ...mark };
    return { transport: 'stdio', command: target.command, args: target.args, env, ...(isolation && { isolation }) };
}

async function ask(clientName, spec, hide) {
    const [command, driver] = clients[clientName].command;
    const steps = spec.steps.map(({ expect, compare, unknown, again, expected, infos, ...step }) => step);
    const whole = { scratch: temporaryDirectory(), ...spec, client: clientName, steps };
    const { code, out, err } = await run(command, [driver, JSON.stringify(whole)], { timeout: 120_000 });
    const said = err.slice(-3_000);
    const line = out.trim().split('\n').at(-1);
    if (code !== 0 || !line?.startsWith('{')) return { fault: `the client ended with ${code}`, log: said };
    return { transcript: new Map(JSON.parse(hideVariable(line, hide)).transcript), log: said };
}

/** The transcript of a client with its servers, nothing in between; `targets` are by name. */
export async function directly(clientName, targets, { steps, roots, hide }) {
    const mark = { SLUICE_TEST_MARK: newMark() };
    try {
        const marked = Object.fromEntries(
            Object.entries(targets).map(([name, target]) => [
                name,
                target.url ? target : { ...target, env: { ...target.env, ...mark } }
            ])
        );
        return await ask(clientName, { targets: marked, roots, steps }, hide);
    } catch (error) {
        return { fault: String(error?.message ?? error), log: '' };
    } finally {
        killMarked(mark.SLUICE_TEST_MARK);
    }
}

/**
 * The transcript of a client at a door of Sluice. A `door` is a path, with `{server}` for the first server's name;
 * `ws:` before it means WebSocket, and `stdio` that the client starts Sluice itself. `isolation` is that of all servers.
 */
export async function throughDoor(clientName, targets, door, script) {
    const { steps, roots, hide, proxy, isolation } = script;
    // Everything that this run starts has the mark, so that nothing stays behind unseen.
    const mark = { SLUICE_TEST_MARK: newMark() };
    let sluice;
    let result;
    try {
        const servers = Object.fromEntries(
            Object.entries(targets).map(([name, target]) => [name, upstreamOf(target, mark, isolation)])
        );
        let target;
        if (door === 'stdio') {
            const args = sluiceArguments(servers, { proxy });
            target = { command: sluiceBinary(), args: [...args, '--stdio'], env: mark };
        } else {
            sluice = await startSluice(servers, mark, proxy);
            target = { url: sluice.door(door.replace('{server}', Object.keys(servers)[0])) };
        }
        result = await ask(clientName, { target, roots, steps }, hide);
    } catch (error) {
        result = { fault: String(error?.message ?? error), log: '' };
    } finally {
        if (sluice && !(await sluice.stop())) ends.push(`${clientName} at ${door}: Sluice ends within 10 s of SIGTERM`);
        const left = () => processesWith(mark.SLUICE_TEST_MARK);
        await until(5_000, 'all processes end', () => left().length === 0).catch(() => {
            ends.push(`${clientName} at ${door}: nothing stays behind, but: ${left().join('; ')}`);
        });
        killMarked(mark.SLUICE_TEST_MARK);
    }
    // Its log is whole only when it has ended: lines are written a moment after what they tell of.
    if (sluice) result.log += `\n--- Sluice\n${sluice.log().slice(-6_000)}`;
    return result;
}
