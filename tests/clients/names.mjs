// A script that was written for one server, in the names of the merged door.

/** Which resource or template of the server a URI belongs to, as the drivers look it up. */
function meaning(uri, server, { resources = [], templates = [] }) {
    const resource = resources.find(item => item.uri === uri);
    if (resource !== undefined) return { server, resource: resource.name };
    for (const { uriTemplate, name } of templates) {
        if (uriTemplate === uri) return { server, template: name };
        const keys = [...uriTemplate.matchAll(/\{(\w+)\}/g)].map(([, key]) => key);
        const parts = uriTemplate.split(/\{\w+\}/).map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
        const match = new RegExp(`^${parts.join('([^/]+)')}$`).exec(uri);
        if (match === null) continue;
        return { server, template: name, values: Object.fromEntries(keys.map((key, i) => [key, match[i + 1]])) };
    }
    return uri;
}

/** The steps for the merged door. `lists` are what the server lists directly. */
export function onMergedDoor(steps, server, lists) {
    const name = value => (value === undefined ? value : `${server}_${value}`);
    const uri = value => (typeof value === 'string' ? meaning(value, server, lists) : value);
    return steps.map(step => {
        const mapped = { ...step };
        for (const field of ['tool', 'prompt', 'touch', 'toggle', 'slow', 'stats'])
            if (step[field] !== undefined) mapped[field] = name(step[field]);
        if (step.uri !== undefined) mapped.uri = uri(step.uri);
        if (step.ref !== undefined)
            mapped.ref =
                step.ref.uri === undefined
                    ? { ...step.ref, name: name(step.ref.name) }
                    : { ...step.ref, uri: uri(step.ref.uri) };
        return mapped;
    });
}
