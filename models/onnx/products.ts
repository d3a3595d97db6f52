/** @file The three tiny models that serve every matrix product of an engine (runtime/engine/cpu/matrix-products.ts). */
import {
  type AttributeInput,
  encodeModel,
  makeGraph,
  makeModel,
  makeNode,
  makeSequenceInfo,
  makeValueInfo,
} from './proto.ts';

/**
 * First output of each product: an empty sequence. Whoever asks for it too gets an error instead of results, as onnxruntime-node
 * returns tensors only, but one that comes after `y` was computed and before it is copied.
 */
export const NOTHING = 'nothing';

/** ONNX bytes; `tnAdd` takes the sum so far as its third input. */
export interface ProductModels {
  readonly nn: Uint8Array;
  readonly nt: Uint8Array;
  readonly tnAdd: Uint8Array;
}

export function productModels(): ProductModels {
  return {
    nn: gemmModel(['a', 'b'], {}),
    nt: gemmModel(['a', 'b'], { transB: 1 }),
    tnAdd: gemmModel(['a', 'b', 'c'], { transA: 1 }),
  };
}

/** One Gemm with every dimension symbolic. */
function gemmModel(inputs: readonly string[], attributes: Readonly<Record<string, AttributeInput>>): Uint8Array {
  const model = makeModel({
    irVersion: 8n,
    opsetImport: [{ domain: '', version: 17n }],
    graph: makeGraph({
      name: 'product',
      node: [
        makeNode('SequenceEmpty', NOTHING, [], [NOTHING], {}),
        makeNode('Gemm', 'product', inputs, ['y'], attributes),
      ],
      input: inputs.map((name) => makeValueInfo(name, [`${name}0`, `${name}1`])),
      output: [makeSequenceInfo(NOTHING), makeValueInfo('y', ['y0', 'y1'])],
    }),
  });
  return encodeModel(model);
}
