/** @file Probabilities of logits, their entropy, and the gradients that methods descend along. Rows of `classes` values. */

/** softmax of each row, in nats of nothing lost: the largest logit is taken off first. */
export function softmax(logits: Float32Array, classes: number): Float32Array {
  const probabilities = new Float32Array(logits.length);
  for (let from = 0; from < logits.length; from += classes) {
    let max = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) max = Math.max(max, logits[from + c] ?? 0);
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += Math.exp((logits[from + c] ?? 0) - max);
    for (let c = 0; c < classes; c++) probabilities[from + c] = Math.exp((logits[from + c] ?? 0) - max) / sum;
  }
  return probabilities;
}

/** Logits of (1 - share) softmax(first) + share softmax(second), row by row: the logarithms of what they are of one. */
export function mixture(first: Float32Array, second: Float32Array, share: number, classes: number): Float32Array {
  const other = softmax(second, classes);
  return softmax(first, classes).map((p, i) => Math.log(Math.max((1 - share) * p + share * (other[i] ?? 0), LEAST)));
}

/** Probabilities below it count as it, so that their logarithms are numbers. */
const LEAST = 2 ** -126;

/** H = -sum p log p of each row, in nats. */
export function entropies(probabilities: Float32Array, classes: number): Float32Array {
  const result = new Float32Array(probabilities.length / classes);
  for (let n = 0; n < result.length; n++) {
    let sum = 0;
    for (let c = 0; c < classes; c++) {
      const p = probabilities[n * classes + c] ?? 0;
      if (p > 0) sum -= p * Math.log(p);
    }
    result[n] = sum;
  }
  return result;
}

/** Gradient of sum_n weights[n] H(softmax(logits[n])): dH/dz = -p (log p + H). */
export function entropyGradient(
  probabilities: Float32Array,
  entropy: Float32Array,
  classes: number,
  weights: ArrayLike<number>,
): Float32Array {
  return probabilities.map((p, i) => {
    const n = Math.floor(i / classes);
    return p > 0 ? -(weights[n] ?? 0) * p * (Math.log(p) + (entropy[n] ?? 0)) : 0;
  });
}

/** Gradient of sum_n weights[n] CE(target[n], softmax(logits[n])), whose targets are distributions: p - target. */
export function crossEntropyGradient(
  probabilities: Float32Array,
  target: Float32Array,
  classes: number,
  weights: ArrayLike<number>,
): Float32Array {
  return probabilities.map((p, i) => (weights[Math.floor(i / classes)] ?? 0) * (p - (target[i] ?? 0)));
}

/** Index of the largest value of each row, the first among equals. */
export function argmaxRows(rows: Float32Array, classes: number): Int32Array {
  return Int32Array.from({ length: rows.length / classes }, (_, n) => {
    let best = 0;
    for (let c = 1; c < classes; c++) if ((rows[n * classes + c] ?? 0) > (rows[n * classes + best] ?? 0)) best = c;
    return best;
  });
}
