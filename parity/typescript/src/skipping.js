// The time-skipping environment of the TypeScript SDK on the test server whose path is the argument: a year passes.
'use strict';
const { TestWorkflowEnvironment } = require('@temporalio/testing');
const { Worker, Runtime, DefaultLogger } = require('@temporalio/worker');

async function main(path) {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const env = await TestWorkflowEnvironment.createTimeSkipping({ server: { executable: { type: 'existing-path', path } } });
  try {
    const before = await env.currentTimeMs();
    const worker = await Worker.create({
      connection: env.nativeConnection,
      taskQueue: 'skipping',
      workflowsPath: require.resolve('./nap'),
    });
    const result = await worker.runUntil(
      env.client.workflow.execute('nap', { workflowId: 'nap', taskQueue: 'skipping', args: [365] }),
    );
    const days = Math.floor(((await env.currentTimeMs()) - before) / 86_400_000);
    console.log(JSON.stringify({ result, days }));
  } finally {
    await env.teardown();
  }
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
