/** What build refuses, since a board would: commands, models, deltas, devices, places to write to. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { writeDelta } from '../../runtime/delta/delta.ts';
import type { ErrorCode } from '../../runtime/errors.ts';
import { run as build } from '../../tools/cli/commands/deploy-build.ts';
import { reportError } from '../../tools/cli/report-error.ts';
import { bytesOf } from '../../tools/deploy/bundle/bundle-file.ts';
import { parseRun } from '../../tools/deploy/bundle/parse-run.ts';
import { prepareService, type Service, type ServiceRequest } from '../../tools/deploy/bundle/service.ts';
import { targetNamed } from '../../tools/deploy/bundle/target.ts';
import { tinyModel } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-deploy-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
test.after.always(() => rm(root, { recursive: true, force: true }));
const board = 'raspberry-pi-4-4gb';
const target = targetNamed('linux-arm64');

const prepare = (run: string, more: Partial<ServiceRequest> = {}): Promise<Service> =>
  prepareService({ target, model, run, device: board, withNode: false, ...more });

const textOf = async ({ files }: Service, path: string): Promise<string> => {
  const file = files.find((each) => each.path === path);
  return file === undefined ? '' : Buffer.from(await bytesOf(file)).toString();
};

/** Value of an option among a service's words; the first of several. */
const optionOf = ({ run }: Service, option: string): string | undefined => run[run.indexOf(option) + 1];

const refusedRuns: Readonly<Record<string, RegExp>> = {
  '': /must begin with adapt or train/,
  'plan --budget 1GiB': /must begin with adapt or train/,
  'adapt --sorce http': /unknown option '--sorce'/,
  'adapt --batch': /argument missing/,
  'adapt other.onnx --source http': /too many arguments.*\nHint: the model is given to build/,
  'adapt --help': /--help runs nothing/,
  adapt: /needs a source of frames/,
  'adapt --source http --watch frames': /needs one source/,
  'adapt --source -': /no standard input/,
  'adapt --source http://0.0.0.0': /ports below 1024/,
  'adapt --source http --policy fast': /--policy must be one of/,
  'adapt --source http --queue 0': /--queue must be a whole number from 1/,
  'adapt --source http --governor on': /--governor must be one of/,
  'adapt --source http --dashboard 99999': /--dashboard must be a port/,
  'adapt --source http --delta d.safetensors': /--delta is given to build/,
  'adapt --source http --device jetson-nano-4gb': /--device is given to build/,
  'adapt --source http --token secret': /would stand in the bundle/,
  'adapt --source http --resume': /leave it away/,
  'adapt --source http --plan': /--plan does not go with a service/,
  'adapt --source http --label-device 0fd9:0080': /needs --label-keys/,
  'adapt --watch /tmp/frames': /a \/tmp of its own/,
  "adapt --source-command 'one\ntwo'": /cannot hold line breaks/,
  'train --epochs 3': /train needs --data/,
  'train --data images --source http': /only with --collect/,
};

for (const [run, message] of Object.entries(refusedRuns)) {
  test(`refused: ${JSON.stringify(run)}`, (t) => {
    t.throws(() => parseRun(run), { code: 'USAGE', message });
  });
}

test('methods, numbers and keys are checked with the model', async (t) => {
  const refuses = (run: string, message: RegExp) => t.throwsAsync(prepare(run), { code: 'USAGE', message }, run);
  await refuses('adapt --source http --method tant', /--method must be one of/);
  await refuses('adapt --source http --method-options speed=3', /no number called speed/);
  await refuses('adapt --source http --label-keys 1=9', /expected the class to be a number from 0 to 4/);
  await refuses('adapt --source http --method tent --background', /which a predictor beside it does not have/);
  await refuses('train --data images --batch 0', /batch/);
  await t.throwsAsync(prepare('train --data images', { delta: 'd.safetensors' }), { code: 'USAGE' });
});

test('what was not said is said, so that the board plans what was planned', async (t) => {
  const service = await prepare('adapt --source http --batch 8');
  t.is(optionOf(service, '--device'), '@BUNDLE@/config/profile.json');
  t.is(optionOf(service, '--threads'), '4');
  t.is(
    Number(optionOf(service, '--budget')),
    JSON.parse(await textOf(service, 'config/profile.json')).limits.memoryBytes.value,
  );
  const folder = optionOf(service, '--run') ?? '';
  t.regex(folder, /^runs\/[0-9a-f]{12}$/);
  t.is(optionOf(service, '--export-delta'), `${folder}/delta.safetensors`);
  t.regex(await textOf(service, 'config/edgeshift.env'), new RegExp(`^EDGESHIFT_RUN=${folder}$`, 'm'));
  const said = await prepare('adapt --source http --budget 300MiB --threads 2 --run mine --export-delta d.safetensors');
  for (const option of ['--budget', '--threads', '--run', '--export-delta'])
    t.is(said.run.filter((word) => word === option).length, 1, option);
});

test('a state is continued by a release that learns the same, and no other', async (t) => {
  const folderOf = async (run: string, more: Partial<ServiceRequest> = {}) =>
    optionOf(await prepare(run, more), '--run');
  const first = await folderOf('adapt --source http --batch 8');
  t.is(await folderOf('adapt --watch frames --batch 8 --budget 400MiB --threads 1'), first);
  t.not(await folderOf('adapt --source http --batch 4'), first);
  t.not(await folderOf('adapt --source http --batch 8 --method bn-ema'), first);
  const other = await tinyModel(join(root, 'other.onnx'), 5, 9);
  t.not(await folderOf('adapt --source http --batch 8', { model: other }), first);
});

test('a training: its plan, its run; what is collected begins anew', async (t) => {
  const service = await prepare('train --data images --blocks 1 --batch 8');
  t.is(JSON.parse(await textOf(service, 'model/plan.json')).device, board);
  t.regex(optionOf(service, '--run') ?? '', /^runs\//);
  const collecting = await prepare(
    "train --collect images --classes cat,dog --source http --batch 8 --label-keys '1=cat'",
  );
  t.false(collecting.run.includes('--run'));
  t.notRegex(await textOf(collecting, 'config/edgeshift.env'), /EDGESHIFT_RUN/);
});

test('a source command has memory of its own, and the Node of the bundle its own share', async (t) => {
  const watch = await prepare('adapt --watch frames --background');
  const camera = await prepare("adapt --source-command 'ffmpeg -i /dev/video0 -'");
  t.is((camera.memory?.planBytes ?? 0) - (watch.memory?.planBytes ?? 0), 128 * 2 ** 20);
  const wide = await prepare('adapt --watch frames --background', { besideBytes: 2 ** 20 });
  t.is((wide.memory?.planBytes ?? 0) - (watch.memory?.planBytes ?? 0), 2 ** 20);
  const bundled = await prepare('adapt --watch frames --background', { withNode: true });
  t.true((bundled.memory?.planBytes ?? 0) < (watch.memory?.planBytes ?? 0), 'an older one takes less');
});

test('without a device the board plans for itself', async (t) => {
  const { device: _, ...request } = { target, model, device: board, run: 'adapt --source http', withNode: false };
  const service = await prepareService(request);
  t.deepEqual([service.memory, service.device], [null, null]);
  for (const option of ['--device', '--budget', '--threads']) t.false(service.run.includes(option), option);
  t.deepEqual(
    service.files.filter(({ path }) => /plan|profile/.test(path)),
    [],
  );
});

async function refuses(
  t: ExecutionContext,
  more: Partial<ServiceRequest>,
  code: ErrorCode,
  message: RegExp,
  exitCode = 1,
): Promise<void> {
  const error = await t.throwsAsync(prepare('adapt --source http', more), { code, message });
  const original = [console.error, console.log];
  try {
    console.error = () => undefined;
    t.is(reportError(error, false), exitCode);
  } finally {
    console.error = original[0] ?? console.error;
  }
}

test.serial('models, deltas and devices that do not suit', async (t) => {
  t.throws(() => targetNamed('linux-riscv64'), { code: 'USAGE', message: /linux-arm64, linux-x64/ });
  await refuses(t, { model: join(root, 'missing.onnx') }, 'MODEL', /cannot read model/);
  const text = join(root, 'text.onnx');
  await writeFile(text, 'version https://git-lfs.github.com/spec/v1\n');
  await refuses(t, { model: text }, 'MODEL', /is not an ONNX model/);
  await refuses(t, { device: 'raspberry-pi-9' }, 'PROFILE', /expected one of/);
  await refuses(t, { target: targetNamed('linux-x64') }, 'USAGE', /expected the same architecture/, 2);
  const delta = join(root, 'delta.safetensors');
  const facts = { imageSize: 16, classes: ['a', 'b', 'c', 'd', 'e'], drop: null, notes: {} };
  const preprocessing = { scale: [1, 1, 1], bias: [0, 0, 0] } as const;
  await writeDelta(delta, { ...facts, preprocessing, base: '0'.repeat(64) }, []);
  await refuses(t, { delta }, 'DELTA', /learnt on another model/);
  const { sha256: base } = await readModelFile(model);
  await writeDelta(delta, { ...facts, preprocessing, base }, []);
  const service = await prepare('adapt --source http', { delta });
  t.is(optionOf(service, '--delta'), '@BUNDLE@/model/delta.safetensors');
  t.is(await textOf(service, 'model/delta.safetensors').then((bytes) => bytes.length > 0), true);
});

test.serial('a plan that does not fit is exit code 3, as it is for plan', async (t) => {
  const error = await t.throwsAsync(prepare('adapt --source http --budget 64MiB'), { code: 'BUDGET' });
  const original = console.error;
  try {
    console.error = () => undefined;
    t.is(reportError(error, false), 3);
  } finally {
    console.error = original;
  }
});

test('a bundle that cannot be written is refused before anything is installed, and leaves nothing', async (t) => {
  const flags = { target: 'linux-arm64', model, run: 'adapt --source http', device: board };
  await mkdir(join(root, 'out'));
  const into = (out: string) => build([], { ...flags, out });
  await t.throwsAsync(into(join(root, 'out')), { code: 'USAGE', message: /is a folder/ });
  await t.throwsAsync(into(join(root, 'nowhere', 'b.tar.gz')), { code: 'DATA', message: /cannot write.*ENOENT/ });
  await t.throwsAsync(into(join(model, 'b.tar.gz')), { code: 'DATA', message: /cannot write/ });
  t.deepEqual(await readdir(join(root, 'out')), []);
});
