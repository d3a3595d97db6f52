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

/**
 * Gradient of weight sum_c m_c log m_c, minus the entropy of the mean prediction m, where each of the rows has an equal share in m:
 * weight / rows p_c (log m_c - sum_k p_k log m_k). Descending along it keeps predictions different from frame to frame
 * (information maximization; Liang et al., ICML 2020).
 */
export function varietyGradient(
  probabilities: Float32Array,
  mean: Float32Array,
  classes: number,
  weight: number,
): Float32Array {
  const rows = probabilities.length / classes;
  const logs = mean.map((m) => Math.log(Math.max(m, LEAST)));
  const gradient = new Float32Array(probabilities.length);
  for (let from = 0; from < probabilities.length; from += classes) {
    let expected = 0;
    for (let c = 0; c < classes; c++) expected += (probabilities[from + c] ?? 0) * (logs[c] ?? 0);
    for (let c = 0; c < classes; c++) {
      gradient[from + c] = (weight / rows) * (probabilities[from + c] ?? 0) * ((logs[c] ?? 0) - expected);
    }
  }
  return gradient;
}

/** Of a mean prediction, so that its logarithm is finite. */
const LEAST = 1e-6;

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
