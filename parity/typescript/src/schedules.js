// Schedules: what they look like and what they do.
'use strict';

const { defineSearchAttributeKey } = require('@temporalio/common');

/** Long after everything here; what a schedule would do then is known today. */
const FAR = new Date('2040-01-01T00:00:00Z');

function options(s, more = {}) {
  return {
    scheduleId: s.id,
    spec: { intervals: [{ every: '1 hour' }], startAt: FAR },
    action: { type: 'startWorkflow', workflowType: 'greet', workflowId: `${s.id}-flow`, taskQueue: s.taskQueue, args: ['Ada'] },
    ...more,
  };
}

/** Waits until the description of a schedule is so; what it started becomes part of what is compared. */
async function until(s, handle, condition) {
  let found;
  await s.until(async () => {
    found = await handle.describe();
    return condition(found.info);
  });
  for (const { action: { workflow } } of found.info.recentActions) {
    s.saw(workflow.workflowId, workflow.firstExecutionRunId);
    await s.client.workflow.getHandle(workflow.workflowId, workflow.firstExecutionRunId).result();
  }
}

const shown = ({ spec, action, policies, memo, state, info }) => ({
  spec, action, policies, memo, state, actions: info.numActionsTaken, next: info.nextActionTimes.map((time) => time / 1000),
});

const scenarios = {
  async schedule_is_described(s) {
    const handle = await s.client.schedule.create(options(s, {
      spec: {
        calendars: [{ hour: 7, minute: { start: 0, end: 50, step: 25 }, dayOfWeek: { start: 'MONDAY', end: 'FRIDAY' }, comment: 'workdays' }],
        intervals: [{ every: '2 days', offset: '90 minutes' }],
        cronExpressions: ['0 12 * * MON-WED,FRI', '@monthly # rent'],
        skip: [{ month: 'FEBRUARY', dayOfMonth: 29, hour: '*' }],
        startAt: FAR, endAt: new Date('2041-01-01T00:00:00Z'), timezone: 'Europe/Berlin',
      },
      policies: { overlap: 'BUFFER_ONE', catchupWindow: '1 hour', pauseOnFailure: true },
      memo: { of: 'the schedule' },
      state: { paused: true, note: 'a note', remainingActions: 3 },
    }));
    await s.note('found', handle.describe().then(shown));
    await s.note('again', s.client.schedule.create(options(s)));
    await handle.delete();
    await s.note('deleted', handle.describe());
  },

  async schedule_is_changed(s) {
    const keyword = defineSearchAttributeKey('ConfKeyword', 'KEYWORD');
    const handle = await s.client.schedule.create(options(s));
    await handle.pause('enough');
    await s.note('paused', handle.describe().then(shown));
    await handle.unpause();
    await handle.update(({ spec, ...before }) => ({
      ...before,
      spec: { cronExpressions: ['30 6 * * *'], startAt: FAR },
      policies: { ...before.policies, overlap: 'ALLOW_ALL' },
      state: { ...before.state, note: 'every morning' },
      typedSearchAttributes: [{ key: keyword, value: 'later' }],
    }));
    await s.note('changed', handle.describe().then(shown));
    await s.until(async () => (await handle.describe()).typedSearchAttributes.get(keyword) === 'later');
    await s.note('nonsense', handle.update((before) => ({ ...before, spec: { cronExpressions: ['at noon'] } })));
    await handle.delete();
  },

  async schedule_acts(s) {
    const state = { remainingActions: 2 };
    const handle = await s.client.schedule.create(options(s, { spec: { intervals: [{ every: '1s' }] }, state }));
    await until(s, handle, (info) => info.numActionsTaken === 2 && !info.runningActions.length);
    await s.note('state', handle.describe().then((found) => found.state));
    await handle.delete();
  },

  async schedule_is_triggered(s) {
    const handle = await s.client.schedule.create(options(s, { spec: { intervals: [{ every: '1 hour' }] }, state: { paused: true } }));
    await handle.trigger();
    await until(s, handle, (info) => info.numActionsTaken === 1 && !info.runningActions.length);
    const [start, end] = [new Date('2020-01-01T00:00:00Z'), new Date('2020-01-01T02:00:00Z')];
    await handle.backfill({ start, end, overlap: 'ALLOW_ALL' });
    await until(s, handle, (info) => info.numActionsTaken === 4);
    await handle.delete();
  },

  async schedule_is_unknown(s) {
    const handle = s.client.schedule.getHandle(s.id);
    await s.note('describe', handle.describe());
    await s.note('trigger', handle.trigger());
    await s.note('pause', handle.pause());
    await s.note('delete', handle.delete());
    await s.note('nonsense', s.client.schedule.create(options(s, { spec: { cronExpressions: ['at noon'] } })));
  },
};

module.exports = { scenarios };
