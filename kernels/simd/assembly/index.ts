/**
 * @file The SIMD kernels of the training engine, compiled to one WebAssembly module that imports its memory.
 *
 * Tensors are float32, channels-last; a pointer is a byte offset, a multiple of 4, and 0 stands for an absent tensor.
 * The memory belongs to the arena: nothing here allocates, and the module has no data of its own in it. A parameter in
 * capitals is a constant at every call of an inlined function, so that each combination becomes its own loop.
 */
export { affineForward, clipForward } from './affine';
export { affineBackward, columnSum } from './affine-backward';
export { affineScaleGradient } from './affine-scale';
export { averagePoolBackward, averagePoolForward } from './average-pool';
export { batchNormInput, batchNormSums, columnMoments } from './batch-norm';
export { copyColumns, gateGradient, multiply, multiplyGate, shuffleChannels } from './channels';
export { depthwiseForward, depthwiseInputGradient } from './depthwise';
export { depthwiseWeightGradient } from './depthwise-weight';
export { distanceBackward, distanceForward } from './distance';
export {
  add, countNonFinite, fill, globalAveragePoolBackward, globalAveragePoolForward, scaleInPlace,
} from './elementwise';
export { groupedForward, groupedInputGradient } from './grouped';
export { groupedWeightGradient } from './grouped-weight';
export { layerNormBackward, layerNormForward } from './layer-norm';
export { channelsFirst, channelsLast, col2im, im2col, normalizeImages } from './layout';
export { maxPoolBackward, maxPoolForward } from './max-pool';
export { adam, sgd } from './optimizers';
export { productNn, productNt, productTnAdd } from './products';
export { decodeBytes, encodeBytes } from './quantize';
export { decodeSteps, encodeSteps, smoothBackward, smoothForward } from './smooth';
