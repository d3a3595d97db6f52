/** 64-bit ARM, emulated where the processor is another: the same program gives the same numbers, to the last bit. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { encodeModel } from '../../models/onnx/proto.ts';
import { tinyModel } from '../support/adapt-methods.ts';
import { type Arm64Node, arm64Node } from '../support/arm64-node.ts';
import type { Arm64Result } from '../support/arm64-steps.ts';
import { buildNet, type NetSpec } from '../support/random-nets.ts';

const steps = fileURLToPath(new URL('../support/arm64-steps.js', import.meta.url));
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-arm64-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

/** Convolutions of every kind, a gate, pooling, smooth activations and a head on every pixel, beside the goldens' network. */
const varied: NetSpec = {
  ...{ seed: 5, size: 11, head: 'flatten', classes: 3 },
  stages: (['plain', 'bottleneck', 'gate', 'branches', 'residual', 'depthwise'] as const).map((kind, stage) => ({
    ...{ kind, channels: 9 + stage, kernel: stage % 2 === 0 ? 3 : 5, stride: stage === 0 ? 2 : 1, norm: true },
    activation: (['hardSwish', 'relu6', 'silu'] as const)[stage % 3] ?? 'relu',
  })),
};
const models = [tinyModel, join(root, 'varied.onnx')];
test.before(() => writeFile(models[1] ?? '', encodeModel(buildNet(varied).proto)));

async function run({ command: [program, ...first], env }: Pick<Arm64Node, 'command' | 'env'>): Promise<Arm64Result> {
  const folder = await mkdtemp(join(root, 'run-'));
  // Rounded twice everywhere: Node 20 has no fused instructions, and not every processor has.
  const environment = { ...process.env, ...env, EDGESHIFT_FMA: 'off' };
  const { stdout } = await promisify(execFile)(program, [...first, steps, folder, ...models], { env: environment });
  return JSON.parse(stdout) as Arm64Result;
}

const here = { command: [process.execPath], env: {} } as const;

test('the program that is emulated does what it should on this processor', async (t) => {
  const result = await run(here);
  t.is(result.arch, process.arch);
  for (const { losses, exact } of result.trained) {
    t.true(losses.length > 1 && losses.every(Number.isFinite), `losses ${losses}`);
    t.true(exact, 'the arena is used as planned, to the byte');
  }
  t.is(result.trained.length, models.length);
  t.true(result.adapted.updates > 0, 'the model adapts');
  t.true(result.adapted.exact);
  t.deepEqual(await run(here), result, 'and the same again');
});

test('training and adapting on 64-bit ARM give the bits of this processor', async (t) => {
  const arm64 = await arm64Node();
  if (typeof arm64 === 'string') {
    t.log(`skipped: ${arm64}`);
    t.pass();
    return;
  }
  const started = performance.now();
  const { arch, node, ...emulated } = await run(arm64);
  t.log(`${arch}, Node ${node}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  t.deepEqual([arch, node], ['arm64', `v${arm64.version}`]);
  const { arch: _, node: __, ...own } = await run(here);
  t.deepEqual(emulated, own);
});
