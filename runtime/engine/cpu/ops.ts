/** @file The total table of ops on this engine: a kernel without an entry is a type error. */
import type { OpName } from '../../../kernels/index.ts';
import { add, affine, clip, flatten, globalAveragePool, softmaxCrossEntropy } from './elementwise-ops.ts';
import type { CpuOp } from './operands.ts';
import { conv, depthwiseConv, gemm } from './product-ops.ts';

export const cpuOps: Readonly<Record<OpName, CpuOp>> = {
  Add: add,
  Affine: affine,
  Clip: clip,
  Conv: conv,
  DepthwiseConv: depthwiseConv,
  Flatten: flatten,
  Gemm: gemm,
  GlobalAveragePool: globalAveragePool,
  SoftmaxCrossEntropy: softmaxCrossEntropy,
};
