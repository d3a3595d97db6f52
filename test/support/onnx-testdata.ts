/**
 * @file ONNX's own cases, where Debian's package libonnx-testdata is installed: models of one op with inputs and the outputs
 * that the ONNX project expects.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { TensorProtoSchema } from 'onnx-buf';
import { decodeModel, type ModelProto, type NodeProto, type TensorProto } from '../../models/onnx/proto.ts';

/** A model with one node beside Constants. */
export interface OnnxCase {
  /** Folder of the model below that of all data, such as `node/test_relu`. */
  readonly name: string;
  readonly model: ModelProto;
  readonly node: NodeProto;
  /** What the file leaves open, in the order of its inputs. */
  readonly inputs: readonly OnnxCaseInput[];
  /** Expected values, in the order of the file's outputs. */
  readonly outputs: readonly (TensorProto | null)[];
}

export interface OnnxCaseInput {
  readonly name: string;
  /** Null for sequences and optionals. */
  readonly tensor: TensorProto | null;
}

/** Folder of the data; null where the package is absent. */
function dataFolder(): string | null {
  try {
    const files = execFileSync('dpkg', ['-L', 'libonnx-testdata'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 2 ** 26,
    });
    const folder = files.split('\n').find((path) => path.endsWith('/data'));
    return folder && existsSync(folder) ? folder : null;
  } catch {
    return null;
  }
}

/** Every case whose one op `isWanted`, whatever folder holds it; null where the package is absent. */
export function onnxCases(isWanted: (op: string) => boolean): readonly OnnxCase[] | null {
  const root = dataFolder();
  if (root === null) return null;
  const names = ['node', 'pytorch-converted', 'pytorch-operator', 'simple'].flatMap((group) => {
    const folder = join(root, group);
    return existsSync(folder) ? readdirSync(folder).map((name) => join(group, name)) : [];
  });
  return names.flatMap((name) => {
    const model = decodeModel(readFileSync(join(root, name, 'model.onnx')));
    const nodes = model.graph?.node.filter(({ opType }) => opType !== 'Constant') ?? [];
    const [node] = nodes;
    const wanted = nodes.length === 1 && node?.domain === '' && isWanted(node.opType);
    return wanted && node ? [{ name, model, node, ...dataOf(join(root, name, 'test_data_set_0'), model) }] : [];
  });
}

/** The first set of inputs and outputs; no case of one op has another. */
function dataOf(folder: string, { graph }: ModelProto): Pick<OnnxCase, 'inputs' | 'outputs'> {
  const weights = new Set(graph?.initializer.map(({ name }) => name));
  const open = graph?.input.filter(({ name }) => !weights.has(name)) ?? [];
  const read = (file: string, value: (typeof open)[number]): TensorProto | null =>
    value.type?.value.case === 'tensorType'
      ? fromBinary(TensorProtoSchema, readFileSync(join(folder, `${file}.pb`)))
      : null;
  return {
    inputs: open.map((input, i) => ({ name: input.name, tensor: read(`input_${i}`, input) })),
    outputs: graph?.output.map((output, i) => read(`output_${i}`, output)) ?? [],
  };
}
