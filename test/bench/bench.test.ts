/** The benchmarks start, measure and print; their figures are not judged here. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import type { Stage } from '../../tools/bench/breakdown.ts';
import { quantile, table } from '../../tools/bench/report.ts';
import { ratio } from '../../tools/bench/rounds.ts';
import type { StepReport, StepRow } from '../../tools/bench/step.ts';

const main = fileURLToPath(new URL('../../tools/bench/main.js', import.meta.url));

test('quantiles lie between neighbours', (t) => {
  t.is(quantile([3, 1, 2, 4], 0.5), 2.5);
  t.is(quantile([5], 0.95), 5);
  t.is(quantile([0, 10], 0.05), 0.5);
  t.is(quantile([], 0.5), Number.NaN);
});

test('a ratio compares medians within a round, so that a slow round does not count twice', (t) => {
  // Round 2 ran on a machine four times slower, for both.
  t.is(
    ratio(
      {
        rounds: [
          [1, 2, 3],
          [8, 8, 8],
          [2, 2, 9],
        ],
      },
      {
        rounds: [
          [4, 4, 4],
          [16, 16, 16],
          [4, 4, 4],
        ],
      },
    ),
    0.5,
  );
});

test('a table aligns names to the left and figures to the right', (t) => {
  t.is(
    table([
      ['', 'ms'],
      ['ours', '9.1'],
      ['b', '10.2'],
    ]),
    '        ms\nours   9.1\nb     10.2',
  );
});

const run = async (...args: string[]) => {
  const { stdout } = await promisify(execFile)(process.execPath, [main, ...args, '--json'], { maxBuffer: 2 ** 24 });
  return JSON.parse(stdout);
};

const once = ['--rounds', '1', '--steps', '1', '--threads', '1'];

test('slow contenders are compared by all their steps', (t) => {
  t.is(ratio({ rounds: [[1], [2], [3]] }, { rounds: [[40, 40]] }), 0.05);
});

test.serial('step measures every contender that is installed', async (t) => {
  const { rows } = await run('step', ...once, '--batch', '1', '--size', '64', '--blocks', '1');
  t.is(rows.length, 6);
  const missing = rows.filter(({ reason }: StepRow) => reason !== null);
  for (const { name, millis, maxRssBytes, reason } of rows as StepRow[]) {
    if (reason !== null) {
      t.log(`${name} was left out: ${reason}`);
      t.regex(name, /^PyTorch/, 'everything else is installed');
      continue;
    }
    t.true((millis?.median ?? 0) > 0, name);
    t.true((maxRssBytes ?? 0) > 2 ** 25, name);
  }
  if (missing.length > 0) return;
  const [ours, theirs] = rows;
  t.is(ours.ready.trainableParameters, theirs.ready.trainableParameters, 'both sides train the same');
});

test.serial('the table compares every scheme of a network with onnxruntime alone', async (t) => {
  const schemes = ['head', 'mobiletl'];
  const asked = ['--networks', 'wrn', '--batches', '1', '--schemes', schemes.join(), '--against', 'onnxruntime'];
  const { networks } = await run('table', ...once, ...asked, '--no-stages');
  const [{ comparisons, skipped }] = networks;
  t.is(networks.length, 1);
  t.deepEqual(skipped, []);
  t.deepEqual(
    comparisons.map(({ options }: StepReport) => options.scheme),
    schemes,
  );
  for (const { rows } of comparisons as StepReport[]) {
    t.deepEqual(
      rows.map(({ name }) => name),
      ['edgeshift', 'onnxruntime, inference only'],
    );
    t.is(rows[0]?.ratio, null);
    t.true((rows[1]?.ratio ?? 0) > 0);
  }
});

test.serial('stages cover a step, and each has a roofline that is a number', async (t) => {
  const { stages, stepMillis, prefix } = await run('stages', ...once, '--model', 'wrn', '--batch', '1');
  t.true(stages.length > 20);
  const inStages = (stages as Stage[]).reduce((sum, { millis }) => sum + millis, 0);
  t.true(inStages > 0.5 * stepMillis && inStages < 2 * stepMillis, `${inStages} of ${stepMillis} ms`);
  for (const { name, shape, roofMillis } of stages as Stage[]) t.true(Number.isFinite(roofMillis), `${name} ${shape}`);
  t.is(prefix.length, 1);
  t.true(prefix[0].share > 0);
});
