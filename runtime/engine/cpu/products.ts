/** @file Matrix products on the arena; two ways to compute them stand behind one interface. */

/** Products of row-major float32 matrices; operands are byte offsets of the arena. */
export interface Products {
  /** y[m, n] = a[m, k] b[k, n]. */
  nn(a: number, b: number, y: number, m: number, k: number, n: number): void | Promise<void>;
  /** y[m, n] = a[m, k] b[n, k]^T. */
  nt(a: number, b: number, y: number, m: number, k: number, n: number): void | Promise<void>;
  /** y[m, n] += a[k, m]^T b[k, n]. */
  tnAdd(a: number, b: number, y: number, m: number, k: number, n: number): void | Promise<void>;
  release(): Promise<void>;
}
