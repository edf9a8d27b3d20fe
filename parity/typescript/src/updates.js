// Updates, alone and together with what else happens to a workflow.
'use strict';

const { WithStartWorkflowOperation } = require('@temporalio/client');

const ACCEPTED = { waitForStage: 'ACCEPTED' };

/** Starts an account with nothing on it, and waits until it waits. */
async function opened(s, more = {}) {
  const handle = await s.start('account', [0], more);
  await s.settled();
  return handle;
}

async function ended(s, handle) {
  await handle.signal('end');
  await s.note('result', handle.result());
}

const scenarios = {
  async is_updated(s) {
    const handle = await opened(s);
    const add = (key, updateId, amount) => s.note(key, handle.executeUpdate('add', { updateId, args: [amount] }));
    await add('first', 'one', 5);
    await add('second', 'two', 7);
    await add('rejected', 'three', -1);
    await add('failed', 'four', 5000);
    await s.note('unknown', handle.executeUpdate('nonsense', { updateId: 'five' }));
    await add('after all', 'six', 1);
    await add('known by its id', 'one', 100);
    await ended(s, handle);
    await add('known after the close', 'one', 100);
    await add('new after the close', 'seven', 100);
  },

  async update_is_polled(s) {
    const handle = await opened(s);
    const slow = await handle.startUpdate('slow', { updateId: 'slow', args: ['x'], ...ACCEPTED });
    await handle.signal('go on');
    await s.note('slow', slow.result());
    await s.note('slow by its id', handle.getUpdateHandle('slow').result());
    await s.note('unknown', handle.getUpdateHandle('nobody').result());
    await s.settled();
    await ended(s, handle);
  },

  async update_outlives_its_worker(s) {
    const taskQueue = s.name('passed-on-account-queue');
    const stop = await s.work({ taskQueue });
    const handle = await opened(s, { taskQueue });
    const slow = await handle.startUpdate('slow', { updateId: 'slow', args: ['x'], ...ACCEPTED });
    await stop();
    await handle.signal('go on');
    await s.work({ taskQueue });
    await s.note('slow', slow.result());
    await s.settled();
    await ended(s, handle);
  },

  async update_after_continue_as_new(s) {
    const first = await opened(s);
    const handle = s.client.workflow.getHandle(s.id);
    await s.note('in the first run', handle.executeUpdate('add', { updateId: 'same', args: [5] }));
    await first.signal('anew');
    await s.until(async () => (await handle.describe()).runId !== first.firstExecutionRunId);
    await s.settled();
    await s.note('in the second run', handle.executeUpdate('add', { updateId: 'same', args: [6] }));
    await ended(s, handle);
  },

  async workflow_ends_before_its_update(s) {
    const handle = await opened(s);
    const slow = await handle.startUpdate('slow', { updateId: 'slow', args: ['x'], ...ACCEPTED });
    await ended(s, handle);
    await s.note('slow', slow.result());
  },

  async update_with_start(s) {
    const send = (key, updateId, workflowIdConflictPolicy, amount) => s.note(key, async () => {
      const startWorkflowOperation = new WithStartWorkflowOperation('account', s.options({ args: [100], workflowIdConflictPolicy }));
      const outcome = s.client.workflow.executeUpdateWithStart('add', { updateId, args: [amount], startWorkflowOperation });
      const [result, started] = await Promise.allSettled([outcome, startWorkflowOperation.workflowHandle()]);
      if (started.value) s.saw(s.id, (await started.value.describe()).runId);
      if (result.reason) throw result.reason;
      return result.value;
    });
    await send('starts', 'one', 'FAIL', 5);
    await send('finds it running', 'two', 'USE_EXISTING', 7);
    await send('is refused', 'three', 'FAIL', 1);
    await send('is rejected', 'four', 'USE_EXISTING', -1);
    await s.settled();
    await ended(s, s.client.workflow.getHandle(s.id));
  },
};

module.exports = { scenarios };
