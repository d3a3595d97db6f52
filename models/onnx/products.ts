/** @file The three tiny models that serve every matrix product of an engine (runtime/engine/cpu/matrix-products.ts). */
import { type AttributeInput, encodeModel, makeGraph, makeModel, makeNode, makeValueInfo } from './proto.ts';

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
      node: [makeNode('Gemm', 'product', inputs, ['y'], attributes)],
      input: inputs.map((name) => makeValueInfo(name, [`${name}0`, `${name}1`])),
      output: [makeValueInfo('y', ['y0', 'y1'])],
    }),
  });
  return encodeModel(model);
}
