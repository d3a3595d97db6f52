/** @file What a step's numbers mean, the same for every engine. */
import { ExecutionError } from '../errors.ts';

/** The error of a loss that is NaN or infinite. */
export function notFinite(loss: number): ExecutionError {
  return new ExecutionError(
    `the loss is ${loss}: training stops before this step changes anything\n` +
      'Hint: start a run with a lower learning rate; the last checkpoint of this one is kept',
    { loss },
  );
}

/** Rows of `logits` whose largest value is at the label; NaN counts as wrong. */
export function countCorrect(logits: Float32Array, labels: Int32Array): number {
  const classes = logits.length / labels.length;
  let correct = 0;
  labels.forEach((label, n) => {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    if (row.every((value, c) => c === label || value < (row[label] ?? Number.NaN))) correct++;
  });
  return correct;
}
