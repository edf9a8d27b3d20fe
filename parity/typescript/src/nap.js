'use strict';
const { sleep } = require('@temporalio/workflow');

exports.nap = async function nap(days) {
  await sleep(days * 86_400_000);
  return 'awake';
};
