/** @file One helping thread of simd-threads.ts: sleeps, takes its share of each call, says that it is done. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadSimd } from '../../../kernels/simd/simd.ts';
import { cut, shares } from './simd-shares.ts';
import { type HelperSetup, kernelNames, Slot, waitForChange } from './simd-threads.ts';

const { memory, call, share } = workerData as HelperSetup;
const { integers, values } = call;
const kernels = await loadSimd(memory);
parentPort?.postMessage('ready');

// Calls come one at a time, each after everybody has finished the one before: counting them here misses none.
for (let seen = 0; ; seen = (seen + 1) | 0) {
  while (Atomics.load(integers, Slot.call) === seen) waitForChange(integers, Slot.call, seen, Number.POSITIVE_INFINITY);
  const name = kernelNames[integers[Slot.kernel] ?? -1];
  if (name === undefined) break;
  const args = [...values.subarray(0, integers[Slot.count])];
  const own = cut(shares[name], args, share, integers[Slot.shares] ?? 1);
  if (own) (kernels[name] as (...args: number[]) => void)(...own);
  if (Atomics.sub(integers, Slot.busy, 1) === 1) Atomics.notify(integers, Slot.busy);
}
