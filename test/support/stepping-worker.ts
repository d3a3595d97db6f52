/** @file A thread that counts its steps of a millisecond in shared memory, and gives way between them. */
import { workerData } from 'node:worker_threads';
import { givingWay } from '../../runtime/engine/give-way.ts';

export interface SteppingOptions {
  /** `RightOfWay.shared` */
  readonly givesWayTo: SharedArrayBuffer;
  /** One i32: the steps so far. */
  readonly steps: SharedArrayBuffer;
}

const { givesWayTo, steps } = workerData as SteppingOptions;
const counted = new Int32Array(steps);
const giveWay = givingWay(givesWayTo);
for (;;) {
  giveWay();
  const began = performance.now();
  while (performance.now() < began + 1);
  Atomics.add(counted, 0, 1);
}
