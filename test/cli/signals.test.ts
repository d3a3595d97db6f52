import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Random } from '../../runtime/train/random.ts';
import { type CliResult, edgeshift, lastJson } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { readCheckpoints, tinyModel, trajectory } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-signals-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

/** How often the training process is killed; the benchmark does it 20 times. */
const KILLS = Number(process.env.EDGESHIFT_KILLS ?? 4);
const SEED = Number(process.env.EDGESHIFT_KILL_SEED ?? 1);

/** Epochs between two kills are drawn from 0 to this. */
const SPAN = 5;

/** Long enough for all kills to fall into it; features are not cached, so that a step takes some milliseconds. */
const settings = [
  ...[
    '--batch',
    '8',
    '--blocks',
    '2',
    '--epochs',
    `${SPAN * (KILLS + 1)}`,
    '--validation',
    '0.25',
    '--device',
    'jetson-nano-4gb',
  ],
  ...['--no-cache', '--augment', 'flip,shift:2,colour:0.2', '--checkpoint-steps', '3', '--patience', '1000'],
];
const start = (run: string): string[] => ['train', model, '--data', data, '--run', run, '--json', ...settings];
const resume = (run: string): string[] => ['train', '--resume', '--run', run, '--json'];

const whole = join(root, 'whole');
let reference: Promise<CliResult> | undefined;

/** The run that nobody disturbs. */
function undisturbed(): Promise<CliResult> {
  reference ??= edgeshift(start(whole));
  return reference;
}

async function assertSame(t: ExecutionContext, run: string, result: CliResult, about: string): Promise<void> {
  const expected = await undisturbed();
  t.is(expected.code, 0, expected.stderr);
  t.is(result.code, 0, `${about}\n${result.stderr}`);
  t.deepEqual(await trajectory(run), await trajectory(whole), about);
  t.true((await readFile(join(run, 'model.onnx'))).equals(await readFile(join(whole, 'model.onnx'))), about);
  const { accuracyBefore, accuracyAfter, trainAccuracy, steps } = lastJson(expected);
  t.like(lastJson(result), { accuracyBefore, accuracyAfter, trainAccuracy, steps, interrupted: false });
}

type Checkpoints = Awaited<ReturnType<typeof readCheckpoints>>;

/** Steps that the newest checkpoint holds. */
const stepOf = (checkpoints: Checkpoints): number =>
  checkpoints.filter(({ name }) => name.startsWith('step-')).at(-1)?.progress.step ?? 0;

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal}: the step is finished, a checkpoint written, 0 returned; the run can be resumed`, async (t) => {
    const run = join(root, signal);
    const onStderr = (text: string, child: { kill(signal: NodeJS.Signals): boolean }): void => {
      if (/^epoch 3:/m.test(text) && !text.includes(signal)) child.kill(signal);
    };
    const stopped = await edgeshift(start(run), { onStderr });
    t.is(stopped.signal, null);
    t.is(stopped.code, 0, stopped.stderr);
    t.regex(stopped.stderr, new RegExp(`${signal}: finishing this step and writing a checkpoint`));
    const result = lastJson(stopped);
    t.like(result, { interrupted: true, accuracyAfter: null, delta: null, export: null, run });
    t.is(stepOf(await readCheckpoints(run)), result.steps as number);
    t.true((result.steps as number) >= 12 && (result.steps as number) < 4 * SPAN * (KILLS + 1), `${result.steps}`);
    await assertSame(t, run, await edgeshift(resume(run)), signal);
  });
}

test(`killed ${KILLS} times at random moments, the trajectory is that of a run nobody touched`, async (t) => {
  const random = new Random(SEED);
  const run = join(root, 'killed');
  let [kills, unreadable] = [0, 0];
  const moments: string[] = [];
  let result: CliResult | undefined;
  while (result?.code !== 0) {
    const begun = existsSync(join(run, 'config.json'));
    const spare = kills >= KILLS;
    // Most kills fall into training, some into the start, where files are made and read.
    const early = random.uniform() < 0.2;
    const epochs = random.integer(0, SPAN);
    const delay = random.integer(0, early ? 900 : 60);
    let timer: NodeJS.Timeout | undefined;
    result = await edgeshift(begun ? resume(run) : start(run), {
      onStderr: (text, child) => {
        const measured = text.split('\n').filter((line) => /^epoch \d+: training/.test(line)).length;
        const due = early || (/^accuracy before/m.test(text) && measured >= epochs);
        if (!spare && due) timer ??= setTimeout(() => child.kill('SIGKILL'), delay);
      },
    });
    clearTimeout(timer);
    const checkpoints = await readCheckpoints(run).catch((): Checkpoints => {
      unreadable++;
      return [];
    });
    if (result.signal === 'SIGKILL') {
      kills++;
      moments.push(`${early ? 'start' : `${epochs} epochs`} + ${delay} ms: step ${stepOf(checkpoints)}`);
    } else t.is(result.code, 0, `seed ${SEED}, after ${moments.join(', ')}\n${result.stderr}`);
    if (result.signal === null && result.code !== 0) break;
  }
  t.log(`seed ${SEED}: ${kills} kills (${moments.join(', ')}), ${unreadable} unreadable files`);
  t.is(unreadable, 0);
  if (result) await assertSame(t, run, result, `seed ${SEED}: ${moments.join(', ')}`);
  const names = await readdir(run, { recursive: true });
  t.deepEqual(
    names.filter((name) => name.endsWith('.tmp')),
    [],
    'what the kills left half-written is gone',
  );
});
