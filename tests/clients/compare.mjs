// When two results are the same: what may differ from run to run, and what may differ on the merged door.

import { isDeepStrictEqual } from 'node:util';

export const short = value => {
    const text = JSON.stringify(value) ?? 'nothing';
    return text.length > 400 ? `${text.slice(0, 400)}…` : text;
};

/** Where two results first part. */
export function difference(direct, through, path = '') {
    if (isDeepStrictEqual(direct, through)) return undefined;
    const both = value => value !== null && typeof value === 'object';
    if (both(direct) && both(through) && Array.isArray(direct) === Array.isArray(through)) {
        for (const key of new Set([...Object.keys(direct), ...Object.keys(through)])) {
            const found = difference(direct[key], through[key], `${path}.${key}`);
            if (found !== undefined) return found;
        }
    }
    return `${path || 'result'}: direct ${short(direct)}, through ${short(through)}`;
}

/** What legitimately differs between two runs, made equal; `hide` are directories of the run. */
export function hideVariable(text, hide = []) {
    for (const directory of hide) text = text.replaceAll(directory, '‹directory›');
    return text
        .replaceAll(/http:\/\/127\.0\.0\.1:\d+[\w/.-]*/g, '‹url›')
        .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)/g, '‹time›')
        .replaceAll(/\d{1,2}:\d\d:\d\d(?: [AP]M)?/g, '‹time›');
}

/** A step's result without the questions that the server asks whatever the step is. */
export function prompted(result, unprompted) {
    if (unprompted === undefined || result?.asked === undefined) return result;
    const asked = result.asked.filter(question => !(unprompted in question));
    const { asked: _, ...rest } = result;
    return asked.length > 0 ? { ...rest, asked } : rest;
}

const uriFields = new Set(['uri', 'uriTemplate', 'resourceUri']);

/** Without the spelling of URIs: the merged door has its own, and that they work is a step of the scripts. */
export function withoutUris(value) {
    if (Array.isArray(value)) return value.map(withoutUris);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(
        Object.entries(value).map(([key, inner]) => [
            key,
            uriFields.has(key) && typeof inner === 'string' && inner !== '‹as asked›' ? '‹uri›' : withoutUris(inner)
        ])
    );
}

const refused = result => result?.error !== undefined || result?.isError === true;
const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/** What of a direct result the merged door must give, too; `server` is the name there, or none where names stay. */
export function expectedOf(step, result, server) {
    const view = server === undefined ? same => same : withoutUris;
    if (!Array.isArray(result)) return view(result);
    const named = item => (server === undefined ? item : { ...item, name: `${server}_${item.name}` });
    if (step.op === 'tools' || step.op === 'prompts') return result.map(item => view(named(item))).sort(byName);
    if (step.op === 'resources' || step.op === 'templates') return view(result).sort(byName);
    return view(result);
}

/** Where a result of the merged door is not what the direct one lets expect. */
export function differenceOnMerged(step, direct, through, server) {
    // Which words refuse a name or URI that nobody has is up to the door.
    if (step.unknown) return refused(through) ? undefined : `refused directly, and here ${short(through)}`;
    if (step.op === 'info') return differenceOfInfo(direct, through);
    let seen = through;
    if (Array.isArray(through)) {
        const ours = ({ name }) => server === undefined || name.startsWith(`${server}_`);
        if (step.op === 'tools' || step.op === 'prompts') seen = through.filter(ours).sort(byName);
        if (step.op === 'resources' || step.op === 'templates') {
            const uris = through.map(({ uri, uriTemplate }) => uri ?? uriTemplate);
            if (new Set(uris).size < uris.length) return `a URI is there twice: ${short(uris)}`;
            seen = [...through].sort(byName);
        }
    }
    return difference(expectedOf(step, direct, server), server === undefined ? seen : withoutUris(seen));
}

/** How long the merged door waits for servers it knows nothing of, in milliseconds; then it begins without them. */
const OPENING_WAIT = 5_000;

/** The door speaks the version that the server speaks, and has at least its capabilities and instructions. */
export function differenceOfInfo(direct, through) {
    if (through?.capabilities === undefined) return `no answer: ${short(through)}`;
    if (direct.version !== through.version) return `version: direct ${direct.version}, through ${through.version}`;
    if (through.took >= OPENING_WAIT) return undefined;
    for (const [name, capability] of Object.entries(direct.capabilities ?? {}))
        // Tasks and experiments are between a client and one server.
        if (!['tasks', 'experimental', 'extensions'].includes(name))
            for (const part of ['', ...Object.keys(capability).filter(key => capability[key] !== false)])
                if (part === '' ? !through.capabilities[name] : !through.capabilities[name]?.[part])
                    return `${name}.${part}: direct ${short(capability)}, through ${short(through.capabilities)}`;
    if (direct.instructions && !through.instructions?.includes(direct.instructions.trim()))
        return `instructions: through ${short(through.instructions)}`;
    return undefined;
}
