/** A training and a real neighbour in a real control group; `npm run bench -- neighbour` does it fifty times, and faster. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { nodeProgram } from '../../tools/bench/launch.ts';
import { type BesideRun, type Hunger, trainBeside } from '../../tools/bench/neighbour/beside.ts';
import { Refused } from '../../tools/profiler/limits/limit.ts';
import { toyImages } from '../support/train-images.ts';
import { wideModel } from '../support/wide-model.ts';

const MIB = 2 ** 20;
const LIMIT = 400 * MIB;
const SEED = 11;

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-neighbour-'));
const model = await wideModel(join(root, 'wide.onnx'));
const data = await toyImages(join(root, 'images'), { perClass: 14 });
test.after.always(() => rm(root, { recursive: true, force: true }));

const main = fileURLToPath(new URL('../../tools/cli/main.js', import.meta.url));

async function beside(name: string, hunger: Hunger | null): Promise<BesideRun> {
  const values = {
    ...{ data, batch: 32, scheme: 'mobiletl', blocks: 3, epochs: 10, validation: 0.25, threads: 1, seed: 1 },
    ...{ device: 'jetson-nano-4gb', budget: '1GiB', run: join(root, name) },
  };
  const words = Object.entries(values).flatMap(([key, value]) => [`--${key}`, String(value)]);
  return trainBeside(await nodeProgram(main, ['train', model, ...words, '--no-export', '--json']), LIMIT, hunger);
}

test('nobody is killed beside a neighbour that eats memory, and with the same plan the result is the same', async (t) => {
  let alone: BesideRun;
  try {
    alone = await beside('alone', null);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    t.log(`not here: ${error.message}`);
    t.pass();
    return;
  }
  t.like(alone, { ended: 0, oomKills: 0 }, alone.complaint);
  t.deepEqual(alone.governor, { trim: 0, shrink: 0, pause: 0, resume: 0, grow: 0 });
  for (let run = 0; run < 2; run++) {
    const hunger = { seed: SEED + run, mostMebibytes: 200, speeds: [10, 40], holdMillis: 1000 } as const;
    const { complaint, outcome, ...rest } = await beside(`run-${run}`, hunger);
    t.log(`seed ${hunger.seed}: ${JSON.stringify(rest)}`);
    t.like(rest, { ended: 0, oomKills: 0 }, complaint);
    if (rest.governor.shrink + rest.governor.grow === 0) t.is(outcome, alone.outcome);
  }
});
