// The scripts: what a client does with each server, and what must come out of it at least.
//
// `expect` looks at the result of the direct run; a run through Sluice is compared with the direct one as a whole, or
// as far as `compare` says. `unknown` names something that no server has, which the merged door refuses by itself; what
// is there `again` gives the same when it is called once more.

import { hideVariable } from './compare.mjs';

const textOf = result => result.content?.[0]?.text;
const says = text => result => textOf(result) === text;
const holds = part => result => JSON.stringify(result).includes(part);
const nonEmpty = result => Array.isArray(result) && result.length > 0;
const refused = result => result.error !== undefined || result.isError === true;
const call = (tool, args, expect, more) => ({
    name: `call ${tool}`,
    op: 'call',
    tool,
    arguments: args,
    expect,
    ...more
});

const saidBy = blob => hideVariable(Buffer.from(blob, 'base64').toString());
const links = (tool, args, count, more) => ({
    name: `read what ${tool} links to`,
    op: 'links',
    tool,
    arguments: args,
    expect: result => result.distinct === count && result.contents.every(([part]) => part.uri === '‹as asked›'),
    // The binary ones say when they were made.
    compare: result => JSON.parse(JSON.stringify(result), (key, value) => (key === 'blob' ? saidBy(value) : value)),
    ...more
});

export const reference = [
    // Python's pinned client asks nothing when it connects, and knows no more than its own version.
    {
        op: 'info',
        expect: result => result.server?.name === 'sluice-reference-server' && result.capabilities.tools,
        not: ['py-2-pin', 'fastmcp-pin']
    },
    { op: 'tools', expect: result => result.length > 30 },
    { op: 'prompts', expect: result => result.length === 5 },
    { op: 'resources', expect: result => result.length === 16 },
    { op: 'templates', expect: result => result.length === 1 },
    call('test_simple_text', {}, says('This is a simple text response for testing.')),
    call('test_image_content', {}, result => result.content[0].mimeType === 'image/png'),
    call('test_audio_content', {}, result => result.content[0].type === 'audio', { not: ['ts-1.10'] }),
    call('test_embedded_resource', {}, holds('This is an embedded resource content.')),
    call('test_multiple_content_types', {}, result => result.content.length === 3),
    call('test_tool_with_progress', {}, result => result.progress.map(p => p.progress).join() === '0,50,100', {
        progress: true
    }),
    { op: 'level', level: 'info', expect: result => result.error === undefined },
    call('test_tool_with_logging', {}, result => result.logs.length === 3, { log: 'info' }),
    call('test_error_handling', {}, result => result.isError && holds('intentionally')(result)),
    call('no_such_tool', {}, refused, { unknown: true }),
    call('test_sampling', {}, refused, { name: 'call without a required argument' }),
    call('test_sampling', { prompt: 'Grüße ∑' }, says('LLM response: Sampled.')),
    call('test_elicitation', { message: 'Who?' }, holds('my username'), { elicits: true }),
    call('test_elicitation_sep1034_defaults', {}, holds('John Doe'), { elicits: true }),
    call('test_elicitation_sep1330_enums', {}, holds('option1'), {
        elicits: true,
        not: ['ts-1.13']
    }),
    call('test_input_required_result_list_roots', {}, says('Roots: file:///somewhere')),
    call('test_input_required_result_request_state', {}, says('state-ok'), { elicits: true }),
    call('test_input_required_result_multiple_inputs', {}, says('Sampled., my name: 1 roots'), { elicits: true }),
    call('test_input_required_result_multi_round', {}, says('my name likes my color'), { elicits: true }),
    call('test_streaming_elicitation', {}, says('Hello, my name!'), { elicits: true, progress: true }),
    call('test_header_param', { region: 'eu-1', note: 'plain' }, says('region=eu-1 note=plain')),
    call('test_header_param', { region: ' Zürich ' }, says('region= Zürich  note='), {
        name: 'call with a header in base64'
    }),
    call(
        'test_echo',
        { text: 'Zeile 1\n"zwei" \\ \u0000 \u{1f600}', nested: { list: [1, -0.5, 1e21, true, null, [], {}] } },
        holds('Zeile 1'),
        { name: 'call with all kinds of JSON' }
    ),
    call('test_echo', { n: 1 }, holds('"example.com/thing":{"deep":[1,null]}'), {
        name: 'call with _meta',
        meta: {
            traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
            'example.com/thing': { deep: [1, null] }
        }
    }),
    call('test_structured', { city: 'Bremen' }, result => result.structuredContent.degrees === 21.5),
    call('test_reconnection', {}, holds('Reconnection test completed'), { not: ['ts-1.10', 'ts-1.12', 'ts-1.13'] }),
    {
        name: 'many calls at once',
        op: 'calls',
        tool: 'test_echo',
        each: Array.from({ length: 24 }, (_, n) => ({ n, padding: 'p'.repeat(n * 100) })),
        expect: result => result.length === 24 && result.every((c, n) => JSON.parse(c[0].text).n === n)
    },
    {
        // Python's clients take events of at most 1 MiB.
        name: 'a result of 1,000,000 bytes',
        op: 'size',
        tool: 'test_big',
        arguments: { bytes: 1_000_000 },
        expect: result => result.length === 1_000_000 && result.same
    },
    { name: 'read text', op: 'read', uri: 'test://static-text', expect: holds('static text resource') },
    { name: 'read binary', op: 'read', uri: 'test://static-binary', expect: holds('blob') },
    { name: 'read an app', op: 'read', uri: 'ui://reference/app.html', expect: holds('profile=mcp-app') },
    { name: 'read a template', op: 'read', uri: 'test://template/123/data', expect: holds('Data for ID: 123') },
    { name: 'read what does not exist', op: 'read', uri: 'test://none', expect: refused, unknown: true },
    { name: 'prompt', op: 'prompt', prompt: 'test_simple_prompt', expect: holds('simple prompt') },
    {
        name: 'prompt with arguments',
        op: 'prompt',
        prompt: 'test_prompt_with_arguments',
        arguments: { arg1: 'eins', arg2: 'zwei' },
        expect: holds("arg1='eins', arg2='zwei'")
    },
    {
        name: 'prompt with a resource',
        op: 'prompt',
        prompt: 'test_prompt_with_embedded_resource',
        arguments: { resourceUri: 'test://embedded' },
        expect: holds('test://embedded')
    },
    {
        name: 'prompt that asks',
        op: 'prompt',
        prompt: 'test_input_required_result_prompt',
        expect: holds('my context'),
        elicits: true
    },
    {
        name: 'complete an argument',
        op: 'complete',
        ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
        argument: { name: 'arg1', value: 'pa' },
        expect: result => result.values.join() === 'Paris,Park City'
    },
    {
        name: 'complete a template',
        op: 'complete',
        ref: { type: 'ref/resource', uri: 'test://template/{id}/data' },
        argument: { name: 'id', value: '10' },
        expect: result => result.values.join() === '100,101'
    },
    {
        name: 'subscribe to a resource',
        op: 'subscribe',
        uri: 'test://watched-resource',
        other: 'test://static-text',
        touched: 'test://watched-resource',
        touch: 'test_touch_resource',
        expect: result => result.seen?.join() === 'updated as asked' && result.after.length === 0
    },
    {
        name: 'hear of changed tools',
        op: 'changed',
        tool: 'test_trigger_tool_change',
        expect: result => result[0] === 'tools changed',
        hears: 'tools changed',
        listen: { toolsListChanged: true }
    },
    {
        op: 'cancel',
        slow: 'test_slow',
        stats: 'test_stats',
        expect: result => result.cancelled === 1 && result.finished === 0
    },
    { op: 'ping', expect: result => result.error === undefined }
];

export const everything = [
    { op: 'info', expect: result => result.capabilities.tools, not: ['py-2-pin', 'fastmcp-pin'] },
    { op: 'tools', expect: result => result.length > 10 },
    { op: 'prompts', expect: result => result.length === 4 },
    { op: 'resources', expect: nonEmpty },
    { op: 'templates', expect: result => result.length === 2 },
    call('echo', { message: 'hallo' }, says('Echo: hallo'), { again: true }),
    call('get-sum', { a: 2, b: 40 }, holds('42')),
    call('get-sum', { a: 'two' }, refused, { name: 'call with a wrong argument' }),
    call('get-tiny-image', {}, holds('image/png')),
    call('get-structured-content', { location: 'Chicago' }, result => result.structuredContent !== undefined, {
        not: ['ts-1.4', 'ts-1.10', 'ts-1.12']
    }),
    call('get-annotated-message', { messageType: 'error', includeImage: true }, holds('priority')),
    links('get-resource-links', { count: 3 }, 3, { not: ['ts-1.4', 'ts-1.10', 'ts-1.12'] }),
    links('get-resource-reference', { resourceType: 'Text', resourceId: 1 }, 1),
    call('trigger-long-running-operation', { duration: 0.4, steps: 4 }, result => result.progress.length >= 3, {
        progress: true,
        // The last report comes with the result, and some clients do not look at it any more.
        compare: result => ({ ...result, progress: result.progress?.slice(0, 3) })
    }),
    call('get-roots-list', {}, holds('URI: file://')),
    call('trigger-sampling-request', { prompt: 'What?' }, holds('Sampled.')),
    call('trigger-elicitation-request', {}, result => result.asked.length === 1, {
        not: ['ts-1.4', 'ts-1.10', 'ts-1.12', 'ts-1.13', 'inspector']
    }),
    call('trigger-url-elicitation', { url: 'https://example.com/pay', elicitationId: '1' }, holds('example.com/pay'), {
        only: ['ts-1.32', 'ts-2-legacy', 'ts-2-auto', 'mcp-remote']
    }),
    {
        name: 'a task',
        op: 'task',
        tool: 'simulate-research-query',
        arguments: { topic: 'gateways' },
        only: ['ts-1.32'],
        expect: result => result.content?.[0] === 'text'
    },
    { name: 'read', op: 'read', uri: 'demo://resource/static/document/features.md', expect: nonEmpty },
    { name: 'read a template', op: 'read', uri: 'demo://resource/dynamic/text/7', expect: nonEmpty },
    { name: 'prompt', op: 'prompt', prompt: 'simple-prompt', expect: holds('messages') },
    {
        name: 'prompt with arguments',
        op: 'prompt',
        prompt: 'args-prompt',
        arguments: { city: 'Köln' },
        expect: holds('Köln')
    },
    {
        name: 'complete',
        op: 'complete',
        ref: { type: 'ref/prompt', name: 'completable-prompt' },
        argument: { name: 'department', value: 'E' },
        expect: result => result.values.length > 0
    },
    {
        name: 'complete a template',
        op: 'complete',
        ref: { type: 'ref/resource', uri: 'demo://resource/dynamic/text/{resourceId}' },
        argument: { name: 'resourceId', value: '4' },
        expect: result => result.values.join() === '4'
    },
    {
        name: 'prompt with a resource',
        op: 'prompt',
        prompt: 'resource-prompt',
        arguments: { resourceType: 'Text', resourceId: '3' },
        expect: holds('Resource 3')
    },
    {
        name: 'updates of a resource',
        op: 'updates',
        uri: 'demo://resource/static/document/features.md',
        toggle: 'toggle-subscriber-updates',
        expect: result => result === 'updated as asked'
    },
    { op: 'level', level: 'debug', expect: result => result.error === undefined },
    { op: 'ping', expect: result => result.error === undefined }
];

export const filesystem = directory => [
    { op: 'info', expect: result => result.capabilities.tools, not: ['py-2-pin', 'fastmcp-pin'] },
    { op: 'tools', expect: result => result.length > 10 },
    call('list_allowed_directories', {}, holds('‹directory›'), { again: true }),
    call('create_directory', { path: `${directory}/inside` }, result => !result.isError),
    call('write_file', { path: `${directory}/inside/a.txt`, content: 'äöü\nzwei\n' }, result => !result.isError),
    call('read_text_file', { path: `${directory}/inside/a.txt` }, says('äöü\nzwei\n')),
    call(
        'edit_file',
        { path: `${directory}/inside/a.txt`, edits: [{ oldText: 'zwei', newText: 'drei' }] },
        holds('+drei')
    ),
    call('directory_tree', { path: directory }, holds('a.txt')),
    call('read_text_file', { path: '/etc/passwd' }, refused, { name: 'read outside' }),
    call('search_files', { path: directory, pattern: '**/*.txt' }, holds('a.txt'))
];

export const memory = [
    { op: 'info', expect: result => result.capabilities.tools, not: ['py-2-pin', 'fastmcp-pin'] },
    { op: 'tools', expect: result => result.length === 9 },
    { op: 'resources', expect: nonEmpty },
    call(
        'create_entities',
        { entities: [{ name: 'Sluice', entityType: 'gateway', observations: ['is written in Rust'] }] },
        holds('gateway')
    ),
    call(
        'create_relations',
        { relations: [{ from: 'Sluice', to: 'Sluice', relationType: 'knows' }] },
        holds('knows')
    ),
    call('search_nodes', { query: 'rust' }, holds('Sluice')),
    call('read_graph', {}, holds('is written in Rust'), { again: true }),
    { name: 'read', op: 'read', uri: 'memory://knowledge-graph', expect: holds('Sluice') },
    call('create_entities', { entities: 'none' }, refused, { name: 'call with a wrong argument' })
];

export const time = [
    { op: 'info', expect: result => result.capabilities.tools, not: ['py-2-pin', 'fastmcp-pin'] },
    { op: 'tools', expect: result => result.length === 2 },
    call(
        'convert_time',
        { source_timezone: 'Europe/Berlin', time: '16:30', target_timezone: 'Asia/Tokyo' },
        holds('Asia/Tokyo'),
        { again: true }
    ),
    call('convert_time', { source_timezone: 'Nowhere', time: '16:30', target_timezone: 'Asia/Tokyo' }, refused, {
        name: 'call with an unknown zone'
    }),
    call('get_current_time', {}, refused, { name: 'call without a required argument' })
];

export const demo = [
    { op: 'info', expect: result => result.version !== undefined, not: ['py-2-pin', 'fastmcp-pin'] },
    { op: 'tools', expect: nonEmpty },
    { op: 'prompts', expect: nonEmpty },
    { op: 'resources', expect: nonEmpty }
];

export const git = directory => [
    { op: 'info', expect: result => result.capabilities.tools, not: ['py-2-pin', 'fastmcp-pin'] },
    { op: 'tools', expect: result => result.length > 8 },
    call('git_log', { repo_path: directory }, holds('The first'), { again: true }),
    call('git_status', { repo_path: directory }, holds('clean')),
    call('git_show', { repo_path: directory, revision: 'no-such' }, refused, { name: 'show what is not there' })
];

export const fetch = url => [
    { op: 'info', expect: result => result.capabilities.tools, not: ['py-2-pin', 'fastmcp-pin'] },
    { op: 'tools', expect: result => result.length === 1 },
    { op: 'prompts', expect: result => result.length === 1 },
    call('fetch', { url: `${url}/page.txt` }, holds('Sluice is a gateway'), { again: true }),
    call('fetch', { url: `${url}/none` }, refused, { name: 'fetch what is not there' }),
    { name: 'prompt', op: 'prompt', prompt: 'fetch', arguments: { url: `${url}/page.txt` }, expect: holds('gateway') }
];
