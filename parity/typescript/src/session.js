// One scenario on one server: its names, what it noted, and its workflows.
'use strict';

const { Worker } = require('@temporalio/worker');
const { activities, listeners } = require('./activities');

/** The chain of types and messages of an error, as a program can tell it. */
function told(error) {
  const chain = [];
  for (let one = error; one; one = one.cause) {
    const item = { type: one.name ?? typeof one, message: one.message };
    for (const name of ['type', 'nonRetryable', 'details', 'code', 'retryState', 'timeoutType', 'activityId', 'workflowId']) {
      if (one[name] !== undefined) item[name === 'type' ? 'kind' : name] = one[name];
    }
    chain.push(item);
  }
  return { error: chain };
}

class Session {
  constructor(shared, name, token) {
    Object.assign(this, shared);
    this.token = token;
    this.id = this.name(name);
    this.result = {};
    this.runs = [];
    this.workers = [];
  }

  /** A name of this run alone. */
  name(word) {
    return `${word}-${this.token}`;
  }

  /** Notes the outcome of a promise or of a function: its value, or its error. */
  async note(key, outcome) {
    try {
      const value = await (typeof outcome === 'function' ? outcome() : outcome);
      this.result[key] = value === undefined ? null : value;
    } catch (error) {
      this.result[key] = told(error);
    }
  }

  options(more = {}) {
    return { workflowId: this.id, taskQueue: this.taskQueue, ...more };
  }

  /** Starts a workflow by name, with the id of the scenario unless `more` has another. */
  async start(name, args = [], more = {}) {
    const handle = await this.client.workflow.start(name, this.options({ args, ...more }));
    this.saw(handle.workflowId, handle.firstExecutionRunId);
    return handle;
  }

  /** Makes the histories of a workflow part of what is compared. */
  saw(workflowId, runId) {
    if (!this.runs.some((run) => run[1] === runId)) this.runs.push([workflowId, runId]);
  }

  /** Waits until the workflow has had its first task and waits for something. */
  async settled(workflowId = this.id, events = 4) {
    await this.until(async () => {
      const { raw } = await this.client.workflow.getHandle(workflowId).describe();
      return !raw.pendingWorkflowTask && raw.workflowExecutionInfo.historyLength.toNumber() >= events;
    });
  }

  /** Waits until the history of the scenario's workflow is that long. */
  async reached(length) {
    await this.until(async () => {
      const { raw } = await this.client.workflow.getHandle(this.id).describe();
      return raw.workflowExecutionInfo.historyLength.toNumber() >= length;
    });
  }

  async until(condition) {
    for (let i = 0; i < 1500; i += 1) {
      if (await condition().catch(() => false)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error('what the scenario waits for did not happen');
  }

  /** Waits for an activity of the scenario's workflow to tell `name`; the info of its attempt, and more. */
  async heard(name) {
    return new Promise((resolve) => {
      const listener = (workflowId, told, info, more) => {
        if (workflowId !== this.id || told !== name) return;
        listeners.delete(listener);
        resolve({ ...info, ...more });
      };
      listeners.add(listener);
    });
  }

  /** A worker of the scenario's own; returns how to stop it. It is stopped at the end of the scenario anyway. */
  async work(more = {}) {
    const worker = await Worker.create({
      connection: this.native, namespace: 'default', identity: 'parity', taskQueue: this.taskQueue,
      workflowBundle: this.bundle, activities, maxHeartbeatThrottleInterval: 50, ...more,
    });
    const running = worker.run();
    const stop = async () => {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await running;
    };
    this.workers.push(stop);
    return stop;
  }

  async end() {
    for (const stop of this.workers) await stop();
  }
}

module.exports = { Session, told };
