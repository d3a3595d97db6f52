/** @file Ticks of an adaptation as they might come, from a seed. */

import { Random } from '../../runtime/train/random.ts';
import { nothingYet, type Run, type SeenFrame, type Status, type Tick } from '../../tools/dashboard/tick.ts';

const MIB = 2 ** 20;

export const adaptRun: Run = {
  kind: 'adapt',
  command: ['adapt', 'model.onnx', '--source', '-'],
  startedMillis: 1.7e12,
};
export const trainRun: Run = {
  kind: 'train',
  command: ['train', 'model.onnx', '--data', 'images'],
  startedMillis: 1.7e12,
};

export const adaptStatus: Status = {
  ...nothingYet,
  phase: 'adapting by edgeshift',
  plan: { text: '--scheme norms --batch 16', totalBytes: 180 * MIB, arenaBytes: 40 * MIB },
  capBytes: 256 * MIB,
  durations: { count: 10, sumMillis: 250, p50Millis: 20, p99Millis: 80 },
  adaptation: {
    ...{ predicted: 640, updatedFrames: 64, updates: 4, resets: 1, dropped: 3, adaptationSkipped: 2 },
    ...{ unreadable: 1, waiting: 5, snapshots: 1, entropy: 0.75 },
    labels: { used: 4, waiting: 1, early: 0, forgotten: 2, invalid: 0 },
    reasons: { 'no drift': 576, 'collapsed, back to deployed': 64 },
    classes: [
      ['cat', 600],
      ['dog', 40],
    ],
  },
};

export const trainStatus: Status = {
  ...nothingYet,
  phase: 'training',
  durations: { count: 8, sumMillis: 400, p50Millis: 49, p99Millis: 61 },
  training: {
    ...{ step: 12, steps: 40, taken: 8, epoch: 3, loss: 0.5 },
    accuracy: { before: 0.25, training: 0.5, validation: null, after: null },
  },
};

/** A JPEG of one grey pixel. */
export const tinyJpeg =
  '/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////' +
  'wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AKp//2Q==';

export const seenFrame = (frame: number, more: Partial<SeenFrame> = {}): SeenFrame => ({
  ...{ frame, name: `${frame}.png`, class: 'cat', probability: 0.875, entropy: 0.5, updated: frame % 2 === 0 },
  ...{ reason: 'no drift', image: tinyJpeg },
  ...more,
});

/** A tick every half second. */
export function* randomTicks(seed: number, count: number): Generator<Tick> {
  const random = new Random(seed);
  let logged = 0;
  for (let n = 1; n <= count; n++) {
    const isLogged = random.uniform(0, 1) < 0.3;
    logged += isLogged ? 1 : 0;
    yield {
      point: {
        at: 500 * n,
        rssBytes: random.integer(100, 200) * MIB,
        ...(random.uniform(0, 1) < 0.8 && { entropy: random.uniform(0, 2) }),
        ...(random.uniform(0, 1) < 0.1 && { trainAccuracy: random.uniform(0, 1) }),
      },
      status: { ...adaptStatus, phase: `tick ${n}` },
      log: isLogged ? [{ id: logged, at: 500 * n, tone: 'plain', text: `entry ${logged}`, count: 1 }] : [],
      frames: random.uniform(0, 1) < 0.5 ? [seenFrame(n)] : [],
      ended: null,
    };
  }
}
