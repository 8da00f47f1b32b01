// The tasks extension of 2026-07-28 for the reference server: tools that go on after their call has returned.

import { randomUUID } from 'node:crypto';
import { MissingRequiredClientCapabilityError, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import { z } from 'zod';

export const EXTENSION = 'io.modelcontextprotocol/tasks';
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';

const tasks = new Map();
const text = (value, more) => ({ content: [{ type: 'text', text: value }], ...more });
const terminal = task => ['completed', 'failed', 'cancelled'].includes(task.status);

function update(task, fields) {
    if (terminal(task)) return;
    Object.assign(task, fields, { lastUpdatedAt: new Date().toISOString() });
}

function create(ms, end) {
    const now = new Date().toISOString();
    const task = {
        taskId: randomUUID(),
        status: 'working',
        createdAt: now,
        lastUpdatedAt: now,
        ttlMs: 300_000,
        pollIntervalMs: 200
    };
    tasks.set(task.taskId, task);
    if (end) setTimeout(() => update(task, end()), ms).unref();
    const { taskId, status, createdAt, lastUpdatedAt, ttlMs, pollIntervalMs } = task;
    return [task, { resultType: 'task', taskId, status, createdAt, lastUpdatedAt, ttlMs, pollIntervalMs }];
}

const completed = result => ({ status: 'completed', result });
const ask = message => ({
    method: 'elicitation/create',
    params: {
        mode: 'form',
        message,
        requestedSchema: {
            type: 'object',
            properties: { name: { type: 'string' }, confirm: { type: 'boolean' } },
            required: ['confirm']
        }
    }
});

/** Parks the task until every question has its answer. */
function park(task, questions, done) {
    const answers = {};
    update(task, { status: 'input_required', inputRequests: questions });
    task.answer = responses => {
        const rest = { ...task.inputRequests };
        for (const [key, value] of Object.entries(responses))
            if (key in rest) {
                answers[key] = value;
                delete rest[key];
            }
        if (Object.keys(rest).length > 0) return update(task, { inputRequests: rest });
        delete task.inputRequests;
        delete task.answer;
        update(task, done(answers));
    };
}

// `run(args)` makes a task; `now(args)` answers at once, for who does not know tasks. Without `now` it needs them.
const tools = {
    slow_compute: {
        description: 'Computes for some seconds',
        schema: z.object({ seconds: z.number().min(0).max(600), label: z.string().optional() }),
        now: ({ seconds, label }) =>
            new Promise(done => setTimeout(() => done(text(`Computed ${label ?? ''}`.trim())), seconds * 1_000)),
        run: ({ seconds, label }) => create(seconds * 1_000, () => completed(text(`Computed ${label ?? ''}`.trim())))[1]
    },
    failing_job: {
        description: 'Fails as a tool after a second',
        schema: z.object({}),
        run: () => create(500, () => completed(text('The job failed.', { isError: true })))[1]
    },
    protocol_error_job: {
        description: 'Fails as a request after a moment',
        schema: z.object({}),
        run: () =>
            create(200, () => ({ status: 'failed', error: { code: -32603, message: 'The job broke the protocol.' } }))[1]
    },
    confirm_delete: {
        description: 'Asks before it deletes nothing',
        schema: z.object({ filename: z.string() }),
        run({ filename }) {
            const [task, created] = create();
            park(task, { [`confirm-${randomUUID()}`]: ask(`Delete ${filename}?`) }, answers =>
                completed(text(`${filename}: ${Object.values(answers)[0].action}`))
            );
            return created;
        }
    },
    multi_input: {
        description: 'Asks two things at once',
        schema: z.object({}),
        run() {
            const [task, created] = create();
            const questions = { [`first-${randomUUID()}`]: ask('First?'), [`second-${randomUUID()}`]: ask('Second?') };
            park(task, questions, answers => completed(text(`${Object.keys(answers).length} answers`)));
            return created;
        }
    },
    test_tool_with_task: {
        description: 'Asks for a name in the call, and goes on as a task',
        schema: z.object({}),
        run(_args, responses) {
            const name = responses?.user_name?.content?.name;
            if (name === undefined) {
                const question = ask('What is your name?');
                question.params.requestedSchema = {
                    type: 'object',
                    properties: { name: { type: 'string' } },
                    required: ['name']
                };
                return { resultType: 'input_required', inputRequests: { user_name: question } };
            }
            return create(300, () => completed(text(`Hello, ${name}!`)))[1];
        }
    }
};

const knowsTasks = ctx => ctx.mcpReq.envelope?.[CAPABILITIES]?.extensions?.[EXTENSION] !== undefined;

function needTasks(ctx) {
    if (knowsTasks(ctx)) return;
    throw new MissingRequiredClientCapabilityError(
        { requiredCapabilities: { extensions: { [EXTENSION]: {} } } },
        'This needs the tasks extension'
    );
}

/** Registers the tools and, for the newer era, the methods. */
export function registerTasks(server) {
    server.registerTool(
        'greet',
        { description: 'Greets at once', inputSchema: z.object({ name: z.string() }) },
        ({ name }) => text(`Hello, ${name}!`)
    );
    for (const [name, { description, schema, now }] of Object.entries(tools))
        server.registerTool(name, { description, inputSchema: schema }, args => now(args));

    const find = taskId => {
        const task = tasks.get(taskId);
        if (task === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Unknown task', { taskId });
        return task;
    };
    const method = (name, params, run) =>
        server.server.setRequestHandler(name, { params: z.looseObject(params) }, (given, ctx) => {
            needTasks(ctx);
            return run(given, ctx);
        });
    method('tasks/get', { taskId: z.string() }, ({ taskId }) => {
        const { answer: _, ...task } = find(taskId);
        return task;
    });
    const answers = { taskId: z.string(), inputResponses: z.record(z.string(), z.unknown()).optional() };
    method('tasks/update', answers, ({ taskId, inputResponses }, ctx) => {
        find(taskId).answer?.(inputResponses ?? ctx.mcpReq.inputResponses ?? {});
        return {};
    });
    method('tasks/cancel', { taskId: z.string() }, ({ taskId }) => {
        const task = find(taskId);
        delete task.inputRequests;
        delete task.answer;
        update(task, { status: 'cancelled' });
        return {};
    });
}

/** What a call gives as a task, or `undefined` where it is an ordinary call. */
export function callAsTask({ name, arguments: args }, ctx) {
    const tool = tools[name];
    if (tool === undefined) return undefined;
    if (!knowsTasks(ctx)) {
        if (tool.now === undefined) needTasks(ctx);
        return undefined;
    }
    const parsed = tool.schema.safeParse(args ?? {});
    return parsed.success ? tool.run(parsed.data, ctx.mcpReq.inputResponses) : undefined;
}
