// The activities of the programs. `session` of a scenario hears of tasks by its workflow's id.
'use strict';

const { ApplicationFailure, Context, CompleteAsyncError, heartbeat, sleep } = require('@temporalio/activity');

/** Told of each attempt: (workflow id, name, info, more). */
const listeners = new Set();

function tell(name, more) {
  const { info } = Context.current();
  for (const listener of listeners) listener(info.workflowExecution.workflowId, name, info, more);
}

let tries = 0;

const activities = {
  double: async (n) => 2 * n,
  shaky: async () => {
    const { attempt, heartbeatDetails } = Context.current().info;
    if (attempt < 3) {
      heartbeat(attempt);
      throw ApplicationFailure.create({ message: 'not yet', type: 'NotYet', details: [attempt] });
    }
    if (heartbeatDetails !== 2) throw ApplicationFailure.nonRetryable('lost the heartbeat', 'Lost');
    return 'third time lucky';
  },
  final: async () => {
    throw ApplicationFailure.create({
      message: 'never', type: 'Never', nonRetryable: true, details: ['detail'], cause: new Error('the cause'),
    });
  },
  listed: async () => { throw ApplicationFailure.retryable('on the list', 'Listed'); },
  twice: async () => { throw new Error('again'); },
  hang: async () => {
    heartbeat('alive');
    await new Promise((resolve) => setTimeout(resolve, 3500));
  },
  untilCancelled: async () => {
    tell('started');
    const beats = setInterval(() => heartbeat('working'), 50);
    try {
      await Context.current().cancelled;
    } finally {
      clearInterval(beats);
    }
  },
  external: async () => {
    tell('external');
    throw new CompleteAsyncError();
  },
  square: async (n) => {
    await sleep(n * 500);
    return n * n;
  },
  near: async () => {
    tries += 1;
    if (tries % 3) throw new Error('not yet');
    return 'near';
  },
  late: async () => {
    await new Promise((resolve) => { tell('late', { end: resolve }); });
    return 'at last';
  },
  slow: async () => {
    await sleep(300);
    return 'finished';
  },
};

module.exports = { activities, listeners };
