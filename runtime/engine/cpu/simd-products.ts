/**
 * @file Matrix products by SIMD kernels: for machines without onnxruntime, and where results must not depend on the machine. The
 * kernels share the rows of a large product among the engine's threads.
 */
import type { SimdKernels } from '../../../kernels/simd/simd.ts';
import type { Products } from './products.ts';

export class SimdProducts implements Products {
  readonly #simd: SimdKernels;

  constructor(simd: SimdKernels) {
    this.#simd = simd;
  }

  nn(a: number, b: number, y: number, m: number, k: number, n: number): void {
    this.#simd.productNn(a, b, y, m, k, n, 0, m);
  }

  nt(a: number, b: number, y: number, m: number, k: number, n: number): void {
    this.#simd.productNt(a, b, y, m, k, n, 0, m);
  }

  tnAdd(a: number, b: number, y: number, m: number, k: number, n: number): void {
    this.#simd.productTnAdd(a, b, y, m, k, n, 0, m);
  }

  async release(): Promise<void> {}
}
