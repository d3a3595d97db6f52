/** The benchmarks start, measure and print; their figures are not judged here. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { quantile, table } from '../../tools/bench/report.ts';
import { ratio } from '../../tools/bench/rounds.ts';

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

test('step measures every contender that is installed', async (t) => {
  const args = [
    'step',
    '--rounds',
    '1',
    '--steps',
    '1',
    '--batch',
    '1',
    '--size',
    '64',
    '--blocks',
    '1',
    '--threads',
    '1',
  ];
  const { stdout } = await promisify(execFile)(process.execPath, [main, ...args, '--json']);
  const { missing, contenders } = JSON.parse(stdout);
  if (missing !== null) t.log(`PyTorch was left out: ${missing}`);
  t.is(contenders.length, missing === null ? 6 : 2);
  for (const { name, millis, maxRssBytes } of contenders) {
    t.true(millis.median > 0, name);
    t.true(maxRssBytes > 2 ** 25, name);
  }
  if (missing !== null) return;
  const [ours, theirs] = contenders;
  t.is(ours.ready.trainableParameters, theirs.ready.trainableParameters, 'both sides train the same');
});
