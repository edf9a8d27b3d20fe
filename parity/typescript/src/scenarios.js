// What the programs do with the server: each scenario is given its session, and notes what it sees.
'use strict';

const { Client } = require('@temporalio/client');
const { Worker } = require('@temporalio/worker');
const { defineSearchAttributeKey } = require('@temporalio/common');

/** Runs a workflow to its end and notes that. */
const runs = (name, args = [], more = {}) => async (s) => {
  const handle = await s.start(name, typeof args === 'function' ? args(s) : args, more);
  await s.note('result', handle.result());
};

/** The length of a history whose second workflow task is started. */
const SECOND_TASK = 6;

const scenarios = {
  executes: runs('greet', ['Ada']),
  fails: runs('fail'),
  starts_after_a_delay: runs('greet', ['late'], { startDelay: '1s' }),
  times_out: runs('waiter', [], { workflowRunTimeout: '1s' }),
  continues_as_new: runs('countdown', [2], { memo: { kept: 'yes' } }),
  is_retried: runs('stubborn', [], { retry: { initialInterval: '1100ms', backoffCoefficient: 1 } }),
  has_children: runs('parent', (s) => ['child', s.token]),
  runs_an_activity: runs('doubler', [21]),
  retries_an_activity: runs('patient'),
  activity_fails: runs('unlucky'),
  activity_times_out: runs('impatient', (s) => [s.name('nobody')]),
  activities_side_by_side: runs('sum'),
  local_activity: runs('local', ['near']),
  timers: runs('clock'),
  patches: runs('patched'),

  async long_local_activity(s) {
    const late = s.heard('late');
    const handle = await s.start('local', ['late'], { workflowTaskTimeout: '2s' });
    const { end } = await late;
    await s.reached(SECOND_TASK);
    end();
    await s.note('result', handle.result());
  },

  async is_started_twice(s) {
    const first = await s.start('waiter');
    await s.settled();
    await s.note('again', s.client.workflow.start('waiter', s.options()));
    const same = await s.client.workflow.start('waiter', s.options({ workflowIdConflictPolicy: 'USE_EXISTING' }));
    await s.note('same run', same.firstExecutionRunId === first.firstExecutionRunId);
    const second = await s.start('waiter', [], { workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
    await s.note('first', s.client.workflow.getHandle(s.id, first.firstExecutionRunId).result());
    await s.settled();
    await second.signal('end', 'done');
    await s.note('second', second.result());
    await s.note('after the close', s.client.workflow.start('waiter', s.options({ workflowIdReusePolicy: 'REJECT_DUPLICATE' })));
  },

  async is_signalled_and_queried(s) {
    const handle = await s.start('counter');
    await s.settled();
    for (const amount of [1, 2, 4]) {
      await handle.signal('add', amount);
      await s.settled();
    }
    await s.note('total', handle.query('total'));
    await s.note('broken', handle.query('broken'));
    await s.note('unknown', handle.query('unknown'));
    await handle.signal('add', 0);
    await s.note('result', handle.result());
    await s.note('after the close', handle.query('total'));
    await s.note('signal after the close', handle.signal('add', 1));
  },

  async is_signalled_with_start(s) {
    const more = s.options({ taskQueue: s.name('later-queue'), signal: 'note' });
    const first = await s.client.workflow.signalWithStart('notes', { ...more, signalArgs: ['a'] });
    const second = await s.client.workflow.signalWithStart('notes', { ...more, signalArgs: ['b'] });
    s.saw(s.id, first.signaledRunId);
    await s.note('same run', first.signaledRunId === second.signaledRunId);
    await s.work({ taskQueue: s.name('later-queue') });
    await s.note('result', first.result());
  },

  async is_cancelled(s) {
    const handle = await s.start('tidy');
    await s.settled();
    await handle.cancel();
    await s.note('result', handle.result());
    await s.note('again', async () => { await handle.cancel(); return 'fine'; });
  },

  async is_terminated(s) {
    const handle = await s.start('waiter');
    await s.settled();
    await handle.terminate('enough');
    await s.note('result', handle.result());
    await s.note('again', async () => { await handle.terminate('enough'); return 'fine'; });
  },

  async runs_on_cron(s) {
    const handle = await s.start('tick', [], { cronSchedule: '@every 2s' });
    await s.until(async () => (await s.client.workflow.getHandle(s.id).describe()).runId !== handle.firstExecutionRunId);
    await s.client.workflow.getHandle(s.id).terminate('enough ticks');
    await s.note('result', handle.result());
  },

  async cancels_a_child(s) {
    const handle = await s.start('cancelling', [s.name('the-child')]);
    await s.settled(s.name('the-child'));
    await s.settled(s.id, 8);
    await handle.signal('go');
    await s.note('result', handle.result());
  },

  async signals_and_cancels_another(s) {
    const target = await s.start('waiter', [], { workflowId: s.name('target') });
    const sleeping = await s.start('sleeper', [], { workflowId: s.name('sleeping') });
    await s.settled(target.workflowId);
    await s.settled(sleeping.workflowId);
    await s.note('result', (await s.start('caller', [s.token])).result());
    await s.note('target', target.result());
    await s.note('sleeping', sleeping.result());
  },

  async is_unknown(s) {
    const handle = s.client.workflow.getHandle(s.id);
    await s.note('signal', handle.signal('end'));
    await s.note('cancel', handle.cancel());
    await s.note('terminate', handle.terminate());
    await s.note('query', handle.query('total'));
    await s.note('describe', handle.describe());
    await s.note('result', handle.result());
  },

  async activity_is_cancelled(s) {
    const started = s.heard('started');
    const handle = await s.start('changing');
    await started;
    await s.settled();
    await handle.signal('stop');
    await s.note('result', handle.result());
  },

  async activity_is_completed_from_elsewhere(s) {
    let next = s.heard('external');
    const handle = await s.start('delegating');
    const { taskToken } = await next;
    next = s.heard('external');
    await s.client.activity.heartbeat(taskToken, 'half way');
    await s.client.activity.complete(taskToken, 'with the token');
    await s.note('again', s.client.activity.complete(taskToken, 'with the token'));
    await next;
    next = s.heard('external');
    await s.client.activity.complete({ workflowId: s.id, activityId: 'by-id' }, 'with the id');
    await s.client.activity.fail((await next).taskToken, new Error('no luck elsewhere'));
    await s.note('result', handle.result());
  },

  async attributes(s) {
    const keyword = defineSearchAttributeKey('ConfKeyword', 'KEYWORD');
    const number = defineSearchAttributeKey('ConfInt', 'INT');
    const handle = await s.start('labelled', [], {
      memo: { colour: 'red', size: 3 },
      typedSearchAttributes: [{ key: keyword, value: 'first' }, { key: number, value: 1 }],
      staticSummary: 'a summary', staticDetails: 'and details',
    });
    await s.note('result', handle.result());
    const found = await handle.describe();
    await s.note('summary', found.staticSummary?.());
    await s.note('keyword', found.typedSearchAttributes.get(keyword));
    await s.note('memo', found.memo);
    const unknown = { key: defineSearchAttributeKey('NobodyKnows', 'KEYWORD'), value: 'x' };
    const bad = { workflowId: s.name('bad'), typedSearchAttributes: [unknown] };
    await s.note('unknown attribute', s.client.workflow.start('labelled', s.options(bad)));
  },

  async is_started_eagerly(s) {
    const client = new Client({ connection: s.native, identity: 'parity' });
    const options = s.options({ args: ['eager'], requestEagerStart: true });
    const handle = await client.workflow.start('greet', options);
    s.saw(s.id, handle.firstExecutionRunId);
    await s.note('eagerly', handle.eagerlyStarted);
    await s.note('result', handle.result());
  },

  async listed_and_counted(s) {
    for (const n of [0, 1, 2, 3]) {
      const handle = await s.start('row', [n], { workflowId: s.name(`row-${n}`) });
      await handle.result().catch(() => undefined);
    }
    const query = `WorkflowType = 'row' AND WorkflowId STARTS_WITH 'row-' AND TaskQueue = '${s.taskQueue}'`;
    await s.until(async () => (await s.client.workflow.count(`${query} AND ExecutionStatus != 'Running'`)).count === 4);
    const counts = await s.client.workflow.count(`TaskQueue = '${s.taskQueue}' AND WorkflowType = 'row' GROUP BY ExecutionStatus`);
    await s.note('counts', counts.groups.map(({ count, groupValues }) => [count, groupValues]).sort());
    const listed = [];
    for await (const row of s.client.workflow.list({ query, pageSize: 3 })) listed.push(`${row.workflowId} ${row.status.name}`);
    await s.note('listed', listed);
    await s.note('bad query', async () => {
      for await (const row of s.client.workflow.list({ query: 'Nonsense = 1' })) return row.workflowId;
      return null;
    });
  },

  async history_is_replayed(s) {
    const handle = await s.start('replayed');
    await s.note('result', handle.result());
    const history = await handle.fetchHistory();
    const replay = (changed) => Worker.runReplayHistory({ workflowBundle: s.bundle }, changed);
    await s.note('replay', replay(history));
    const type = history.events[0].workflowExecutionStartedEventAttributes.workflowType;
    type.name = 'sleeper';
    await s.note('replay of other code', replay(history).then(() => 'fine', (error) => error.name));
  },

  async without_a_cache(s) {
    const taskQueue = s.name('uncached-queue');
    await s.work({ taskQueue, maxCachedWorkflows: 0 });
    const handle = await s.start('counter', [], { taskQueue });
    await s.settled();
    await handle.signal('add', 5);
    await s.settled(s.id, 8);
    await handle.signal('add', 0);
    await s.note('result', handle.result());
  },

  async worker_is_replaced(s) {
    const taskQueue = s.name('passed-on-queue');
    const stop = await s.work({ taskQueue });
    const handle = await s.start('steady', [], { taskQueue });
    await s.settled(s.id, 10);
    await stop();
    await handle.signal('go on', 'by the second');
    await s.work({ taskQueue });
    await s.note('result', handle.result());
  },
};

module.exports = { scenarios };
