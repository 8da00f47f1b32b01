// The scripts of several servers as one script at one door, and what must come out of it.

import {
    difference,
    differenceOfInfo,
    differenceOnMerged,
    expectedOf,
    prompted,
    short,
    withoutUris
} from './compare.mjs';
import { onMergedDoor } from './names.mjs';

const lists = ['tools', 'prompts', 'resources', 'templates'];

/** What the servers say of themselves as one, the lists of all as one list each; any other step once for its server. */
export function mergedSteps(steps, direct) {
    const infos = steps.filter(({ op, name }) => op === 'info' && direct.has(name)).map(({ name }) => direct.get(name));
    // One version is spoken for all, so the oldest.
    const version = infos.map(info => info.version).sort()[0];
    const info = { op: 'info', name: 'info', infos: infos.map(info => ({ ...info, version })) };
    const unions = lists.map(op => {
        const parts = steps.filter(step => step.op === op && direct.has(step.name));
        const expected = parts.flatMap(step => expectedOf(step, direct.get(step.name), step.server));
        return { op, name: op, expected: expected.sort(inOrder), atLeast: expected.length };
    });
    const single = steps.filter(({ op, name }) => op !== 'info' && !lists.includes(op) && direct.has(name));
    const byServer = Map.groupBy(single, step => step.server);
    const renamed = [...byServer].flatMap(([server, own]) =>
        onMergedDoor(own, server, {
            resources: direct.get(`${server}: resources`),
            templates: direct.get(`${server}: templates`)
        })
    );
    // Each server gets its own among calls that are made at once.
    const together = { op: 'together', name: 'a call of each at once', each: renamed.filter(step => step.again) };
    const filled = unions.filter(({ expected }) => expected.length > 0);
    const begin = infos.length > 0 ? [info] : [];
    const end = together.each.length > 1 ? [together] : [];
    return [...begin, ...filled, ...renamed, ...end];
}
const inOrder = (a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** Where a step at the door is not what the direct runs let expect. */
export function fault(step, direct, through) {
    const result = through.get(step.name);
    // Every server may ask for roots at any time.
    const view = value => (step.compare ?? (same => same))(prompted(value, 'roots'));
    if (step.infos !== undefined)
        return step.infos.map(info => differenceOfInfo(info, result)).find(found => found !== undefined);
    if (step.op === 'together')
        return difference(withoutUris(step.each.map(({ name }) => direct.get(name).content)), withoutUris(result));
    if (step.expected === undefined)
        return differenceOnMerged(step, view(direct.get(step.name)), view(result), step.server);
    if (!Array.isArray(result)) return `no list: ${short(result)}`;
    const ids = result.map(({ uri, uriTemplate, name }) => uri ?? uriTemplate ?? name);
    if (new Set(ids).size < ids.length) return `not unique: ${short(ids)}`;
    return difference(step.expected, withoutUris(result).sort(inOrder));
}
