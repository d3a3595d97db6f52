/** `edgeshift warmup`: its delta starts EcoTTA; stopped and resumed it ends with the same bytes. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { openAdapter } from '../../runtime/adapt/open.ts';
import { readDelta } from '../../runtime/delta/delta.ts';
import { META } from '../../runtime/scheme/meta-networks.ts';
import { randomImages } from '../support/draws.ts';
import { goldenUrl } from '../support/goldens.ts';
import { device, edgeshift, lastJson } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-warmup-'));
const model = fileURLToPath(goldenUrl('ecotta.onnx'));
const data = await toyImages(join(root, 'images'), { classes: 5, perClass: 8 });
test.after.always(() => rm(root, { recursive: true, force: true }));

const common = ['--data', data, ...device, '--threads', '1', '--batch', '8', '--epochs', '3', '--json'];
const warmup = (run: string, ...more: readonly string[]): string[] => [
  'warmup',
  model,
  ...common,
  '--run',
  run,
  ...more,
];

test('a warm-up ends inside its plan, a stopped one that goes on ends the same, and EcoTTA starts from it', async (t) => {
  const [whole, parted] = [join(root, 'whole'), join(root, 'parted')];
  const result = await edgeshift(warmup(whole, '--parts', '1,2'));
  t.is(result.code, 0, result.stderr);
  const { plannedPeakBytes, arenaHighWaterBytes, delta: deltaPath } = lastJson(result);
  t.is(arenaHighWaterBytes, plannedPeakBytes);
  const delta = await readDelta(String(deltaPath));
  t.deepEqual(delta.metaParts, [1, 2]);
  t.true([...delta.tensors.keys()].every((name) => name.startsWith(`${META}.`)));
  t.is(delta.tensors.size, 2 * 9);

  let stopped = false;
  const first = await edgeshift(warmup(parted, '--parts', '1,2', '--checkpoint-steps', '2'), {
    onStderr: (text, child) => {
      // A second signal would end it at once.
      if (/accuracy before/.test(text) && !stopped) stopped = child.kill('SIGINT');
    },
  });
  t.is(first.code, 0, first.stderr);
  t.true(lastJson(first).interrupted);
  const resumed = await edgeshift(['warmup', '--resume', '--run', parted, '--json']);
  t.is(resumed.code, 0, resumed.stderr);
  t.deepEqual(await readFile(join(parted, 'delta.safetensors')), await readFile(String(deltaPath)));

  const options = { model, delta: String(deltaPath), method: 'ecotta', batch: 4, threads: 1 } as const;
  await using adapter = await openAdapter({ ...options, device: 'jetson-nano-4gb' });
  const images = randomImages(3, 4, adapter.imageSize);
  const { logits, updated } = await adapter.observe(images, 4);
  t.true(updated);
  const { logits: later } = await adapter.observe(images, 4);
  t.notDeepEqual(later, logits);
  const { plannedPeakBytes: planned, highWaterBytes } = await adapter.memory();
  t.is(highWaterBytes, planned);
});

for (const [what, args, message] of [
  ['without data', ['warmup', model], /warmup needs a model and --data <folder>/],
  ['with parts that are no numbers', [...warmup(join(root, 'x')), '--parts', '1,x'], /--parts must be auto, .*: "1,x"/],
  ['with too many parts', [...warmup(join(root, 'y')), '--parts', '9'], /whole number from 1 to 3, .*: 9/],
  ['with parts of too few blocks', [...warmup(join(root, 'z')), '--parts', '1,1'], /parts of 1, 1 blocks/],
] as const) {
  test(`a warm-up ${what} is refused`, async (t) => {
    const { code, stderr } = await edgeshift(args);
    t.is(code, 2, stderr);
    t.regex(stderr, message);
  });
}
