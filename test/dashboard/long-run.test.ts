/** Hours of a stream with the page open, as `npm run bench -- dashboard` has them, shorter. */
import { existsSync } from 'node:fs';
import test from 'ava';
import { CHROMIUM, growths, measureDashboard } from '../../tools/bench/dashboard.ts';

const MIB = 2 ** 20;
const SEED = 2;

test('an hour and a half of a stream: neither the server nor the page grows', async (t) => {
  if (!existsSync(CHROMIUM)) {
    t.log('skipped: there is no /usr/bin/chromium (Debian package chromium)');
    t.pass();
    return;
  }
  const options = { hours: 1.5, speed: 200, framesPerSecond: 10, samples: 16, seed: SEED, json: true };
  const report = await measureDashboard(options);
  t.is(report.ticks, 10_800);
  t.true(report.frames >= 54_000);
  t.true(report.samples.length >= 8, `${report.samples.length} samples`);
  const { serverGrowthBytes, heapGrowthBytes, nodeGrowth } = growths(report);
  const { keptBytes } = report;
  const about = `seed ${SEED}: ${JSON.stringify({ keptBytes, serverGrowthBytes, heapGrowthBytes, nodeGrowth })}`;
  t.log(about);
  // Were ticks kept, it would be 8 MB in the server and as much in the page.
  t.true(keptBytes < 0.75 * MIB, about);
  // The allocator is not done with settling so early.
  t.true(serverGrowthBytes < 24 * MIB, about);
  t.true(heapGrowthBytes < 1.5 * MIB, about);
  t.true(nodeGrowth < 500, about);
});
