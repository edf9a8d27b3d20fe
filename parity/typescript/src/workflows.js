// The workflows of the programs; they run in the SDK's sandbox.
'use strict';

const { defineSearchAttributeKey, HandlerUnfinishedPolicy } = require('@temporalio/common');
const wf = require('@temporalio/workflow');

const fast = { initialInterval: '100ms', backoffCoefficient: 1 };
const acts = (more = {}) => wf.proxyActivities({ startToCloseTimeout: '10s', retry: fast, ...more });

/** What a workflow can tell of an error. */
function told(error) {
  const chain = [];
  for (let one = error; one; one = one.cause) {
    chain.push({ type: one.name, message: one.message, kind: one.type, final: one.nonRetryable, state: one.retryState });
  }
  return { error: chain };
}

async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    return told(error);
  }
}

exports.greet = async (name) => `Hello, ${name}`;

exports.fail = async () => {
  throw wf.ApplicationFailure.create({
    message: 'it broke', type: 'Broken', nonRetryable: true, details: [{ at: 3 }], cause: new Error('the cause'),
  });
};

exports.waiter = async () => {
  let word;
  wf.setHandler(wf.defineSignal('end'), (value) => { word = value; });
  await wf.condition(() => word !== undefined);
  return word;
};

/** Has the updates "add", of what is positive, and "slow", which waits for the signal "go on". Ends at the signal "end". */
exports.account = async (start) => {
  let total = start;
  const seen = {};
  for (const name of ['end', 'anew', 'go on']) wf.setHandler(wf.defineSignal(name), () => { seen[name] = true; });
  wf.setHandler(wf.defineUpdate('add'), (amount) => {
    if (amount > 1000) throw wf.ApplicationFailure.create({ message: 'too much', type: 'TooMuch', nonRetryable: true, details: [amount] });
    total += amount;
    return total;
  }, { validator: (amount) => { if (!(amount > 0)) throw new Error('nothing to add'); } });
  wf.setHandler(wf.defineUpdate('slow'), async (word) => {
    await wf.condition(() => seen['go on']);
    return `slow ${word}`;
  }, { unfinishedPolicy: HandlerUnfinishedPolicy.ABANDON });
  await wf.condition(() => seen.end || seen.anew);
  return seen.anew ? wf.continueAsNew(total) : total;
};

exports.sleeper = async () => wf.sleep('1 hour');

exports.counter = async () => {
  let total = 0;
  let done = false;
  wf.setHandler(wf.defineSignal('add'), (amount) => {
    total += amount;
    done = amount === 0;
  });
  wf.setHandler(wf.defineQuery('total'), () => total);
  wf.setHandler(wf.defineQuery('broken'), () => { throw new Error('no answer'); });
  await wf.condition(() => done);
  return total;
};

exports.notes = async () => {
  const notes = [];
  wf.setHandler(wf.defineSignal('note'), (word) => { notes.push(word); });
  await wf.condition(() => notes.length === 2);
  return notes;
};

exports.tidy = async () => {
  try {
    await wf.sleep('1 hour');
  } finally {
    await wf.CancellationScope.nonCancellable(() => wf.sleep(10));
  }
};

exports.countdown = async (left) => {
  if (left === 0) return wf.workflowInfo().memo;
  return wf.continueAsNew(left - 1);
};

exports.stubborn = async () => {
  if (wf.workflowInfo().attempt < 3) throw wf.ApplicationFailure.retryable('not yet', 'NotYet');
  return wf.workflowInfo().attempt;
};

exports.tick = async () => (wf.workflowInfo().lastResult ?? 0) + 1;

exports.child = async (n) => {
  if (n < 0) throw wf.ApplicationFailure.retryable('below zero', 'Negative');
  return 2 * n;
};

exports.parent = async (prefix, suffix) => {
  const start = (id, n) => wf.executeChild('child', { workflowId: `${prefix}-${id}-${suffix}`, args: [n] });
  const total = (await start('one', 1)) + (await start('two', 2));
  return { total, failed: await attempt(() => start('three', -1)) };
};

exports.slowToEnd = async () => {
  try {
    await wf.sleep('1 hour');
  } finally {
    await wf.CancellationScope.nonCancellable(() => wf.sleep(1200));
  }
};

exports.cancelling = async (childId) => {
  let go = false;
  wf.setHandler(wf.defineSignal('go'), () => { go = true; });
  const scope = new wf.CancellationScope();
  const running = scope.run(() => wf.executeChild('slowToEnd', {
    workflowId: childId, cancellationType: wf.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
  }));
  const ended = attempt(() => running);
  await wf.condition(() => go);
  scope.cancel();
  return ended;
};

exports.caller = async (suffix) => {
  const handle = (name) => wf.getExternalWorkflowHandle(`${name}-${suffix}`);
  const fine = (action) => attempt(async () => { await action(); return 'fine'; });
  return {
    signal: await fine(() => handle('target').signal('end', 'told')),
    'signal to nobody': await fine(() => handle('nobody').signal('end', 'told')),
    cancel: await fine(() => handle('sleeping').cancel()),
    'cancel of nobody': await fine(() => handle('nobody').cancel()),
  };
};

exports.doubler = async (n) => acts({ summary: 'twice' }).double(n);

exports.patient = async () => acts().shaky();

exports.unlucky = async () => {
  const { final, listed, twice } = acts({ retry: { ...fast, maximumAttempts: 2, nonRetryableErrorTypes: ['Listed'] } });
  return { final: await attempt(final), listed: await attempt(listed), twice: await attempt(twice) };
};

exports.impatient = async (nobody) => {
  const once = { ...fast, maximumAttempts: 1 };
  return {
    'start to close': await attempt(acts({ startToCloseTimeout: '1s', retry: once }).hang),
    heartbeat: await attempt(acts({ heartbeatTimeout: '1s', retry: once }).hang),
    'schedule to start': await attempt(acts({ scheduleToStartTimeout: '1s', taskQueue: nobody, retry: once }).hang),
  };
};

exports.changing = async () => {
  let stop = false;
  wf.setHandler(wf.defineSignal('stop'), () => { stop = true; });
  const scope = new wf.CancellationScope();
  const running = scope.run(() => acts({
    heartbeatTimeout: '10s', cancellationType: wf.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  }).untilCancelled());
  const ended = attempt(() => running);
  await wf.condition(() => stop);
  scope.cancel();
  return ended;
};

exports.delegating = async () => {
  const results = [];
  for (const activityId of ['by-token', 'by-id', 'failing']) {
    results.push(await attempt(acts({ activityId, retry: { ...fast, maximumAttempts: 1 } }).external));
  }
  return results;
};

exports.sum = async () => {
  const squares = await Promise.all([1, 2, 3].map((n) => acts().square(n)));
  return squares.reduce((a, b) => a + b);
};

exports.local = async (name) => wf.proxyLocalActivities({
  scheduleToCloseTimeout: '20s', retry: { initialInterval: '20ms', backoffCoefficient: 1 },
})[name]();

exports.clock = async () => {
  const order = [];
  const scope = new wf.CancellationScope();
  const long = scope.run(() => wf.sleep('1 hour')).catch(() => { order.push('long'); });
  await Promise.all([
    wf.sleep(100, { summary: 'short' }).then(() => order.push('short')),
    wf.sleep(2500).then(() => { order.push('middle'); scope.cancel(); }),
    long,
  ]);
  return order;
};

exports.patched = async () => {
  const first = wf.patched('one');
  wf.deprecatePatch('two');
  await wf.sleep(10);
  return [first, wf.patched('one'), wf.patched('three')];
};

exports.labelled = async () => {
  const keyword = defineSearchAttributeKey('ConfKeyword', 'KEYWORD');
  const number = defineSearchAttributeKey('ConfInt', 'INT');
  wf.upsertSearchAttributes([{ key: keyword, value: 'second' }, { key: number, value: 5 }]);
  await wf.sleep(10);
  wf.upsertSearchAttributes([{ key: number, value: null }]);
  wf.upsertMemo({ colour: 'blue', size: null });
  const { typedSearchAttributes, memo } = wf.workflowInfo();
  return { keyword: typedSearchAttributes.get(keyword), number: typedSearchAttributes.get(number) ?? null, memo };
};

exports.row = async (n) => {
  if (n === 2) throw wf.ApplicationFailure.nonRetryable(`number ${n}`);
};

exports.steady = async () => {
  let word;
  wf.setHandler(wf.defineSignal('go on'), (value) => { word = value; });
  await acts().slow();
  await wf.condition(() => word !== undefined);
  return [await acts().slow(), word];
};

exports.replayed = async () => {
  let total = 0;
  for (const n of [0, 1, 2]) total += await acts().double(n);
  await wf.sleep(20);
  return total;
};
