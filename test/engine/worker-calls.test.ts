import { Worker } from 'node:worker_threads';
import test from 'ava';
import { READY, WorkerCalls } from '../../runtime/engine/worker-calls.ts';
import { ExecutionError } from '../../runtime/errors.ts';

type Method = 'echo' | 'die' | 'never' | 'close';

/** A worker that answers, keeps silent, or dies, as it is asked. */
const start = (first: string) =>
  new Worker(
    `const { parentPort } = require('node:worker_threads');
     parentPort.on('message', ({ id, method, args }) => {
       if (method === 'die') process.exit(3);
       if (method !== 'never') parentPort.postMessage({ id, result: args });
     });
     ${first};`,
    { eval: true },
  );
const ready = `parentPort.postMessage({ id: ${READY}, result: 'here' })`;

test('calls are answered one by one, and refused once the worker is closed', async (t) => {
  const calls = new WorkerCalls<Method>(start(ready), 'tester');
  t.is(await calls.ready(), 'here');
  t.deepEqual(await Promise.all([1, 2, 3].map((n) => calls.call('echo', [n]))), [[1], [2], [3]]);
  const waiting = t.throwsAsync(calls.call('never'), { instanceOf: ExecutionError, message: /tester was closed/ });
  await calls.close('close');
  await waiting;
  await t.throwsAsync(calls.call('echo'), { message: /tester was closed/ });
});

test('when the thread dies, calls that wait and all later ones fail with its exit code', async (t) => {
  const calls = new WorkerCalls<Method>(start(ready), 'tester');
  await calls.ready();
  const expected = { instanceOf: ExecutionError, message: /the tester's thread ended with code 3/ };
  const waiting = t.throwsAsync(calls.call('never'), expected);
  await t.throwsAsync(calls.call('die'), expected);
  await waiting;
  await t.throwsAsync(calls.call('echo', [1]), expected);
  await calls.close('close');
});

test('a worker that fails before it is ready says why', async (t) => {
  await t.throwsAsync(new WorkerCalls<Method>(start("throw new Error('no model')"), 'tester').ready(), {
    any: true,
    message: /no model/,
  });
});
