import test from 'ava';
import { CpuEngine } from '../../runtime/engine/cpu/cpu-engine.ts';
import { countCorrect } from '../../runtime/engine/outcome.ts';
import { ExecutionError } from '../../runtime/errors.ts';
import { mobileNet, mobileNetFile } from '../support/mobilenet.ts';
import { engineModel, plan as makePlan, openCpu, openReference, parametersOf, sgd } from '../support/training.ts';

test('a parameter that is missing is named', async (t) => {
  const graph = await mobileNet(32);
  const parameters = parametersOf(graph);
  parameters.delete('Conv_1/kernel');
  const plan = makePlan(graph);
  await t.throwsAsync(CpuEngine.create(plan, { ...engineModel(plan, graph), parameters }), {
    instanceOf: ExecutionError,
    message: 'the plan wants parameter "Conv_1/kernel", which the model lacks',
  });
});

test('a prefix that onnxruntime cannot run is refused with its reason', async (t) => {
  const graph = await mobileNet(32);
  const plan = makePlan(graph);
  const opened = CpuEngine.create(plan, { ...engineModel(plan, graph), prefix: new Uint8Array([1, 2, 3]) });
  const error = await t.throwsAsync(opened, {
    instanceOf: ExecutionError,
    message: /^onnxruntime cannot run the frozen part of "mobilenet-v2": /,
  });
  t.true(error?.cause instanceof Error);
});

test('neither images nor features, and buffers that do not exist', async (t) => {
  const graph = await mobileNet(32);
  const engine = await openCpu(makePlan(graph), graph, await mobileNetFile());
  await t.throwsAsync(engine.forward({ count: 1 }), {
    instanceOf: ExecutionError,
    message: 'neither images nor features were given',
  });
  await t.throwsAsync(engine.read('nowhere'), {
    instanceOf: ExecutionError,
    message: 'the plan has no buffer "nowhere"',
  });
  await engine[Symbol.asyncDispose]();
});

test('the reference engine says what it cannot do', async (t) => {
  const graph = await mobileNet(32);
  const engine = openReference(makePlan(graph, { optimizer: 'adam' }), graph);
  await t.throwsAsync(engine.features(), { instanceOf: ExecutionError, message: /runs no prefix/ });
  await t.throwsAsync(engine.read('logits'), { instanceOf: ExecutionError, message: /no pinned buffer "logits"/ });
  const features = new Float32Array(320);
  await t.throwsAsync(engine.step({ count: 1, features }, Int32Array.of(0), sgd(0.1)), {
    instanceOf: ExecutionError,
    message: 'the reference engine knows plain SGD only',
  });
});

test('an image counts as right only if its label is above all others', (t) => {
  const logits = Float32Array.of(1, 2, 3, 3, 3, 1, Number.NaN, 5, 1, 0, Number.NaN, -1);
  t.is(countCorrect(logits, Int32Array.of(2, 0, 1, 0)), 1);
  t.is(countCorrect(logits, Int32Array.of(0, 1, 1, 2)), 0);
});
