import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { squareDecoder } from '../../runtime/train/data/decode.ts';
import { tinyModel } from '../support/adapt-methods.ts';
import { noiseImage } from '../support/noise-images.ts';
import { edgeshift, lastJson } from '../support/train-cli.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-evaluate-stream-'));
const data = join(root, 'data');
for (let label = 0; label < 6; label++) {
  await mkdir(join(data, `class-${label}`), { recursive: true });
  for (let n = 0; n < 5; n++) {
    const image = noiseImage(16, 16, 10 * label + n).linear(0.5, 20 * label);
    await image.png().toFile(join(data, `class-${label}`, `${n}.png`));
  }
}
test.after.always(() => rm(root, { recursive: true, force: true }));

const fashion = '/usr/share/datasets/fashion-mnist';
const wideResNet = fileURLToPath(new URL('../../../models/fmnist-wrn16-2/model.onnx', import.meta.url));
const common = ['--budget', '2GiB', '--threads', '1'];
const names = ['none', 'bn-ema', 'edgeshift'];

test('two protocols, three methods: tables, JSON and one plot for each protocol', async (t) => {
  const [out, plot] = [join(root, 'results.json'), join(root, 'error.svg')];
  const args = ['--stream', 'continual,batch-1', '--data', data, '--methods', names.join(','), '--batch', '8'];
  const choice = ['--corruption', 'fog,contrast', '--severity', '3', '--method-options', 'edgeshift:memory=16,pass=8'];
  const files = ['--out', out, '--plot', plot];
  const { code, stdout, stderr } = await edgeshift(['evaluate', tinyModel, ...args, ...choice, ...files, ...common]);
  t.is(code, 0, stderr);
  t.regex(stdout, /^continual, severity 3, 30 images each, batch 8, seed 1\nmethod +error % +against none/);
  t.regex(stdout, /\nbatch-1, severity 3, 30 images each, batch 1, seed 1\n/);
  t.regex(stdout, /\nfog +\d/);
  t.regex(stdout, /frames by reason\n {2}none: frozen 60\n/);
  const results = JSON.parse(await readFile(out, 'utf8')) as { streams: { protocol: string; methods: object[] }[] };
  t.deepEqual(
    results.streams.map(({ protocol }) => protocol),
    ['continual', 'batch-1'],
  );
  for (const { protocol, methods } of results.streams) {
    t.deepEqual(
      methods.map((each) => (each as { method: string }).method),
      names,
    );
    for (const { memory } of methods as { memory: Record<string, number> }[]) {
      const { highWaterBytes = Number.NaN, plannedPeakBytes = Number.NaN } = memory;
      // Single frames touch less than the pass that was planned.
      t.true(protocol === 'batch-1' ? highWaterBytes <= plannedPeakBytes : highWaterBytes === plannedPeakBytes);
    }
  }
  for (const protocol of ['continual', 'batch-1']) {
    t.regex(await readFile(join(root, `error-${protocol}.svg`), 'utf8'), /^<svg [\s\S]*edgeshift[\s\S]*<\/svg>\n$/);
  }
  t.false((await readdir(root)).some((name) => name.endsWith('.tmp')));
});

test('wrong uses end with 2 and say what to do', async (t) => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--stream', 'continual'], /needs --data/],
    [['--stream', 'wild', '--data', data], /--stream must be of continual, reset/],
    [['--stream', 'continual', '--data', data, '--methods', 'hope'], /--methods must be of none, bn-batch/],
    [
      ['--stream', 'continual', '--data', data, '--method-options', 'sar:learningRate=1'],
      /names "sar", which --methods/,
    ],
    [['--stream', 'continual', '--data', data, '--corruption', 'rain'], /unknown corruption "rain"/],
    [['--stream', 'continual', '--data', data, '--delta', 'sar=x'], /--delta names "sar"/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await edgeshift(['evaluate', tinyModel, ...args, ...common]);
    t.is(code, 2, stderr);
    t.regex(stderr, message);
  }
});

test('on corrupted Fashion-MNIST, statistics of the batch undo most of the harm of noise', async (t) => {
  if (!existsSync(fashion)) {
    t.log(`skipped: there is no ${fashion} (Debian package dataset-fashion-mnist)`);
    t.pass();
    return;
  }
  const args = ['--stream', 'continual', '--data', fashion, '--fit', 'pad', '--methods', 'none,bn-batch,eata'];
  const choice = ['--corruption', 'gaussian_noise', '--limit', '128', '--method-options', 'eata:fisherAlpha=1'];
  const source = ['--source-data', fashion, '--source-limit', '64'];
  const result = await edgeshift(['evaluate', wideResNet, ...args, ...choice, ...source, ...common, '--json']);
  t.is(result.code, 0, result.stderr);
  const [stream] = lastJson(result).streams as { methods: { method: string; error: number }[] }[];
  const error = (name: string) => stream?.methods.find(({ method }) => method === name)?.error ?? Number.NaN;
  t.log(`error: none ${error('none')}, bn-batch ${error('bn-batch')}, eata ${error('eata')}`);
  t.true(error('none') - error('bn-batch') > 0.2);
  t.true(error('none') - error('eata') > 0.2);
});

test('fit pad: zeros around, nothing scaled; larger images are refused', async (t) => {
  const { raw, encoded } = await squareDecoder({ imageSize: 6, fit: 'pad' });
  const grey = Uint8Array.from({ length: 9 }, (_, i) => i + 1);
  const pixels = await raw(grey, { width: 3, height: 3, channels: 1 }, 'cubic');
  const expected = new Uint8Array(6 * 6 * 3);
  for (const [i, value] of grey.entries()) {
    const at = (1 + Math.floor(i / 3)) * 6 + 1 + (i % 3);
    expected.fill(value, 3 * at, 3 * at + 3);
  }
  t.deepEqual(new Uint8Array(pixels), expected);
  const large = await noiseImage(7, 6, 1).png().toBuffer();
  await t.throwsAsync(encoded(large), { message: /7 x 6 pixels are too many to be padded to 6 x 6/ });
});
