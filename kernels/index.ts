/** @file The one table of kernels. Nothing registers itself: an op exists because it stands here. */
import type { Node } from '../runtime/graph/graph.ts';
import { add } from './add.ts';
import { affine } from './affine.ts';
import { averagePool } from './average-pool.ts';
import { batchNorm } from './batch-norm.ts';
import { channelShuffle } from './channel-shuffle.ts';
import { channelSlice } from './channel-slice.ts';
import { clip } from './clip.ts';
import { concat } from './concat.ts';
import { conv } from './conv.ts';
import { depthwiseConv } from './depthwise-conv.ts';
import { distance } from './distance.ts';
import { flatten } from './flatten.ts';
import { gemm } from './gemm.ts';
import { globalAveragePool } from './global-average-pool.ts';
import { groupedConv } from './grouped-conv.ts';
import type { Kernel } from './kernel.ts';
import { layerNorm } from './layer-norm.ts';
import { maxPool } from './max-pool.ts';
import { mul } from './mul.ts';
import { smoothActivation } from './smooth-activation.ts';
import { softmaxCrossEntropy } from './softmax-cross-entropy.ts';

export const kernels = {
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
} satisfies Record<string, Kernel>;

export type OpName = keyof typeof kernels;

/** The kernel of a node, or undefined for an op that only onnxruntime can run. */
export function kernelOf(node: Pick<Node, 'op'>): Kernel | undefined {
  return Object.hasOwn(kernels, node.op) ? (kernels[node.op as OpName] as Kernel) : undefined;
}
