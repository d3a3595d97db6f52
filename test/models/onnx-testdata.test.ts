/**
 * ONNX's own single-op cases, where Debian's package libonnx-testdata is installed: every case of an op in the table of
 * kernels/README.md is either right on both engines, however it is read, or refused for a reason that the table gives.
 */
import test, { type ExecutionContext } from 'ava';
import { generalLimits, operators } from '../../models/onnx/operators.ts';
import { DataType } from '../../models/onnx/proto.ts';
import { claimedOps, isWithin } from '../../tools/claims/claims.ts';
import { assertClose, type Tolerance } from '../support/compare.ts';
import { type OnnxCase, onnxCases } from '../support/onnx-testdata.ts';
import { runCpu, runReference } from './onnx-testdata-engines.ts';
import { type Reading, read, readingsOf } from './onnx-testdata-readings.ts';

const cpuTolerance: Tolerance = { rtol: 1e-4, atol: 1e-5 };
/** The expected values are float32. */
const referenceTolerance: Tolerance = { rtol: 1e-5, atol: 1e-5 };
const halfTolerance: Tolerance = { rtol: 1e-3, atol: 1e-3 };

/** Cases that passed when this was written, so that a rule that begins to refuse them does not go unseen. */
const least: Readonly<Record<string, number>> = {
  Add: 2,
  AveragePool: 13,
  BatchNormalization: 4,
  Clip: 9,
  Concat: 5,
  Conv: 18,
  Div: 1,
  Dropout: 6,
  Elu: 4,
  Flatten: 4,
  Gemm: 5,
  GlobalAveragePool: 2,
  GlobalMaxPool: 2,
  HardSigmoid: 3,
  HardSwish: 1,
  Identity: 1,
  LayerNormalization: 7,
  LeakyRelu: 5,
  LogSoftmax: 4,
  MatMul: 1,
  MaxPool: 13,
  Mul: 2,
  Pad: 1,
  Relu: 3,
  Sigmoid: 3,
  Softmax: 4,
  Split: 2,
  Sub: 1,
  Tanh: 3,
  Transpose: 1,
};

const claims = new Map(claimedOps().map((claim) => [claim.op, claim]));
const cases = onnxCases((op) => claims.has(op));
const passed = new Map<string, string[]>();
const refused = new Map<string, string[]>();

/** Reads the output and runs it on both engines; a text is the reason why it is not read. */
async function attempt(
  t: ExecutionContext,
  onnxCase: OnnxCase,
  reading: Reading,
  output: number,
): Promise<string | null> {
  const found = read(onnxCase, reading, output);
  if (typeof found === 'string') return found;
  const { graph, batch, given, dims } = found;
  const logarithm = onnxCase.node.opType === 'LogSoftmax';
  const softmax = logarithm || graph.tail === 'softmax';
  const expected = logarithm ? found.expected.map(Math.exp) : found.expected;
  const about = `${onnxCase.name} output ${output}, ${reading.about}`;
  t.deepEqual([batch, ...(graph.shapes.get(graph.output) ?? [])], [...dims], about);
  const half = onnxCase.outputs[output]?.dataType === DataType.FLOAT16;
  const reference = runReference(graph, softmax, given, batch);
  assertClose(t, reference, expected, half ? halfTolerance : referenceTolerance, `${about}, reference`);
  const cpu = await runCpu(graph, softmax, given, batch);
  assertClose(t, cpu, expected, half ? halfTolerance : cpuTolerance, `${about}, CPU`);
  return null;
}

const conforms = test.macro(async (t: ExecutionContext, onnxCase: OnnxCase) => {
  const { opType } = onnxCase.node;
  const limits = [...(operators[opType]?.limits ?? []), ...generalLimits];
  const readings = readingsOf(onnxCase);
  const why = new Set<string>();
  let rightOutputs = 0;
  for (const output of onnxCase.outputs.keys()) {
    let right = 0;
    for (const reading of readings) {
      const reason = await attempt(t, onnxCase, reading, output);
      if (reason === null) right++;
      else why.add(reason);
    }
    if (right > 0) rightOutputs++;
  }
  for (const reason of why) {
    const limit = limits.find((each) => isWithin(reason, each));
    t.true(limit !== undefined, `refused with a reason that the table does not give: ${reason}`);
  }
  const isRead = rightOutputs > 0;
  t.true(isRead || why.size > 0, 'neither read nor refused');
  const list = isRead ? passed : refused;
  list.set(opType, [...(list.get(opType) ?? []), onnxCase.name]);
  if (!isRead || rightOutputs < onnxCase.outputs.length) t.log(`refused: ${[...why].join('; ')}`);
});

if (cases === null) {
  test('cases of the ONNX project', (t) => {
    t.log('skipped: the Debian package libonnx-testdata is not installed here');
    t.pass();
  });
}

for (const onnxCase of cases ?? []) test.serial(`ONNX case ${onnxCase.name}`, conforms, onnxCase);

if (cases !== null) {
  test.serial('every ONNX case of a claimed op passed or was refused', (t) => {
    const count = (list: ReadonlyMap<string, readonly string[]>, op: string): number => list.get(op)?.length ?? 0;
    for (const op of claims.keys()) {
      const all = cases.filter(({ node }) => node.opType === op).length;
      t.is(count(passed, op) + count(refused, op), all, op);
      t.true(
        count(passed, op) >= (least[op] ?? 0),
        `${op}: ${count(passed, op)} passed, at least ${least[op]} did before`,
      );
      t.log(`${op}: ${count(passed, op)} passed, ${count(refused, op)} refused by limit`);
    }
    const total = (list: ReadonlyMap<string, readonly string[]>): number => [...list.values()].flat().length;
    t.log(`in all ${total(passed)} passed, ${total(refused)} refused by limit, of ${cases.length}`);
    const never = [...claims.keys()].filter((op) => count(passed, op) === 0);
    t.log(`no case passed: ${never.join(', ')}`);
  });
}
