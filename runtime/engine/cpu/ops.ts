/** @file The total table of ops on this engine: a kernel without an entry is a type error. */
import type { OpName } from '../../../kernels/index.ts';
import { batchNorm } from './batch-norm-op.ts';
import { channelShuffle, channelSlice, concat, mul } from './channel-ops.ts';
import { distance } from './distance-op.ts';
import { add, affine, clip, flatten, globalAveragePool, softmaxCrossEntropy } from './elementwise-ops.ts';
import { groupedConv } from './grouped-conv-op.ts';
import { layerNorm } from './layer-norm-op.ts';
import type { CpuOp } from './operands.ts';
import { averagePool, maxPool } from './pooling-ops.ts';
import { conv, depthwiseConv, gemm } from './product-ops.ts';
import { smoothActivation } from './smooth-op.ts';

export const cpuOps: Readonly<Record<OpName, CpuOp>> = {
  Activation: smoothActivation,
  Add: add,
  Affine: affine,
  AveragePool: averagePool,
  BatchNorm: batchNorm,
  ChannelShuffle: channelShuffle,
  ChannelSlice: channelSlice,
  Clip: clip,
  Concat: concat,
  Conv: conv,
  DepthwiseConv: depthwiseConv,
  Distance: distance,
  Flatten: flatten,
  Gemm: gemm,
  GlobalAveragePool: globalAveragePool,
  GroupedConv: groupedConv,
  LayerNorm: layerNorm,
  MaxPool: maxPool,
  Mul: mul,
  SoftmaxCrossEntropy: softmaxCrossEntropy,
};
