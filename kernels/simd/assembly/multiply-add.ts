/** @file The product and sum of the kernels that compute more than they load. */

/** a * b + c; rounded once where the module is compiled with relaxed SIMD and the processor can, else twice. */
// @ts-ignore: decorator
@inline
export function multiplyAdd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(c, f32x4.mul(a, b));
}
