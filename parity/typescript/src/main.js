// The programs of the TypeScript SDK: scenarios that run on any server and tell as JSON what came of them.
//
//   node src/main.js -address HOST:PORT -token TOKEN [NAME ...]
//
// One line a scenario: {"scenario", "result", "runs": [[workflow id, run id], ...]}. Names end in "-TOKEN". With
// -dev-server PATH, that program is started as the SDK's test environment starts the official dev server.
'use strict';

const path = require('node:path');
const { parseArgs } = require('node:util');
const { Client, Connection } = require('@temporalio/client');
const { defineSearchAttributeKey } = require('@temporalio/common');
const { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime } = require('@temporalio/worker');
const { TestWorkflowEnvironment } = require('@temporalio/testing');
const { Session } = require('./session');

const families = [require('./scenarios'), require('./updates'), require('./schedules')];
const scenarios = Object.assign({}, ...families.map((family) => family.scenarios));

const AT_ONCE = 4;
const LIMIT_MS = 60_000;

async function connect({ address, 'dev-server': devServer }) {
  if (devServer) {
    const environment = await TestWorkflowEnvironment.createLocal({
      server: {
        executable: { type: 'existing-path', path: devServer },
        searchAttributes: [defineSearchAttributeKey('ConfKeyword', 'KEYWORD'), defineSearchAttributeKey('ConfInt', 'INT')],
      },
      client: { identity: 'parity' },
    });
    return { client: environment.client, native: environment.nativeConnection, close: () => environment.teardown() };
  }
  const connection = await Connection.connect({ address });
  const native = await NativeConnection.connect({ address });
  const close = async () => {
    await native.close();
    await connection.close();
  };
  return { client: new Client({ connection, identity: 'parity' }), native, close };
}

async function run(shared, token, name) {
  const s = new Session(shared, name, token);
  const line = { scenario: name, result: s.result, runs: s.runs };
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('the scenario takes too long')), LIMIT_MS);
  });
  try {
    if (!scenarios[name]) throw new Error('there is no such scenario');
    await Promise.race([scenarios[name](s), limit]);
  } catch (error) {
    line.broken = String(error.stack ?? error);
  } finally {
    clearTimeout(timer);
    await s.end();
  }
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function main() {
  const { values, positionals } = parseArgs({
    // The Go program takes its options with one dash, and both are called alike.
    args: process.argv.slice(2).map((word) => (/^-[a-z]/.test(word) ? `-${word}` : word)),
    options: { address: { type: 'string' }, token: { type: 'string', default: 'x' }, 'dev-server': { type: 'string' } },
    allowPositionals: true,
  });
  const logger = new DefaultLogger('ERROR', () => undefined);
  Runtime.install({ logger, telemetryOptions: { logging: { forward: {}, filter: 'OFF' } } });
  const bundle = await bundleWorkflowCode({ workflowsPath: path.join(__dirname, 'workflows.js'), logger });
  const { client, native, close } = await connect(values);
  const shared = { client, native, bundle, taskQueue: `typescript-queue-${values.token}` };
  const host = new Session(shared, 'host', values.token);
  await host.work();
  const names = positionals.length ? positionals : Object.keys(scenarios).sort();
  const next = async () => {
    for (let name = names.shift(); name; name = names.shift()) await run(shared, values.token, name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  await host.end();
  await close();
}

main().catch((error) => {
  process.stderr.write(`${error.stack ?? error}\n`);
  process.exit(2);
});
