/** From a command's events to ticks. */
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import sharp from 'sharp';
import { planAdaptation } from '../../runtime/adapt/open.ts';
import type { SessionCounts } from '../../runtime/adapt/session.ts';
import { arrivesNow, type Frame } from '../../runtime/adapt/streams/frame.ts';
import { predictionOf } from '../../runtime/adapt/streams/prediction-lines.ts';
import { AdaptationFeed } from '../../tools/dashboard/adaptation-feed.ts';
import { Decisions, isReset } from '../../tools/dashboard/decisions.ts';
import { jpegText, shrunk } from '../../tools/dashboard/thumbnail.ts';
import { TrainingFeed } from '../../tools/dashboard/training-feed.ts';
import { tinyModel } from '../support/adapt-methods.ts';

const MIB = 2 ** 20;
const planned = { text: '--batch 8', totalBytes: MIB, arenaBytes: MIB };
const memory = { rssBytes: 100 * MIB };
const { plan } = await planAdaptation({ model: tinyModel, budgetBytes: 2 ** 30 });

test('a training: steps, loss, accuracy, times, phases', (t) => {
  let now = 0;
  const feed = new TrainingFeed(() => now, 200 * MIB);
  t.like(feed.tick(1, memory, null), {
    point: { at: 1, rssBytes: 100 * MIB },
    status: { plan: null, phase: 'starting' },
  });
  feed.event({ kind: 'images', done: 3, total: 9 });
  t.is(feed.tick(2, memory, null).status.phase, 'decoding images, 3 of 9');
  feed.event({ kind: 'plan', plan });
  feed.event({ kind: 'accuracy', when: 'before', accuracy: 0.25 });
  now = 10;
  feed.event({ kind: 'step', step: 5, steps: 6, epoch: 1, loss: 2, millis: 30 });
  feed.event({ kind: 'step', step: 6, steps: 6, epoch: 1, loss: 1, millis: 50 });
  feed.event({ kind: 'epoch', epoch: 1, trainAccuracy: 0.5, validationAccuracy: null });
  const tick = feed.tick(20, memory, null);
  t.like(tick.point, { at: 20, loss: 1.5, trainAccuracy: 0.5, p50Millis: 50, p99Millis: 50 });
  t.false('validationAccuracy' in tick.point);
  t.like(tick.status, { phase: 'measuring accuracy', capBytes: 200 * MIB });
  t.like(tick.status.plan, { totalBytes: plan.totalBytes, arenaBytes: plan.peakBytes });
  t.deepEqual(tick.status.training, {
    ...{ step: 6, steps: 6, taken: 2, epoch: 2, loss: 1 },
    accuracy: { before: 0.25, training: 0.5, validation: null, after: null },
  });
  t.like(tick.status.durations, { count: 2, sumMillis: 80 });
  t.deepEqual(
    tick.log.map(({ text }) => text.split(':')[0]),
    ['planned', 'accuracy before', 'first step', 'epoch 2'],
  );
  t.deepEqual(feed.tick(30, memory, null).log, [], 'told once');
  t.is(feed.tick(40, memory, null).point.loss, undefined, 'nothing was measured since');
});

test('a training: what the governor did stands in the log with its reason', (t) => {
  const feed = new TrainingFeed(() => 0, null);
  feed.event({ kind: 'governor', action: 'shrink', reason: '3 MiB left', plan: '--micro-batch 2' });
  feed.event({ kind: 'governor', action: 'pause', reason: '1 MiB left', plan: null });
  const paused = feed.tick(1, memory, null);
  t.is(paused.status.phase, 'paused: memory is short');
  feed.event({ kind: 'governor', action: 'resume', reason: 'memory is back', plan: null });
  const { log, status } = feed.tick(2, memory, null);
  t.is(status.phase, 'training');
  t.deepEqual(
    [...paused.log, ...log].map(({ text, tone }) => [text, tone]),
    [
      ['memory: 3 MiB left: going on with --micro-batch 2', 'bad'],
      ['memory: 1 MiB left: paused until there is room', 'bad'],
      ['memory: memory is back: going on again', 'good'],
    ],
  );
});

test('decisions: reasons that a background adapter repeats count once, updates and resets each time', (t) => {
  const decisions = new Decisions();
  const told = [
    { updated: true, reason: 'no drift' },
    { updated: false, reason: 'no drift' },
    { updated: true, reason: 'collapsed, back to deployed' },
    { updated: false, reason: 'collapsed, back to deployed' },
    { updated: true, reason: 'collapsed, back to deployed' },
    { updated: true, reason: 'no drift' },
  ].map((decision) => decisions.add(decision));
  t.deepEqual(told, [true, false, true, false, true, true]);
  t.is(decisions.updates, 4);
  t.is(decisions.resets, 2);
});

test('what methods, guards and sessions say of resets is known as one', (t) => {
  for (const reason of [
    ...['failed, back to deployed', 'collapsed, back to deployed', 'worse than the twin, rolled back', 'recovery'],
    ...['label shift, back to deployed', 'memory: label shift, back to deployed', 'failed: out of memory'],
  ]) {
    t.true(isReset(reason), reason);
  }
  for (const reason of ['no drift', 'entropy', 'after drift', 'memory: label shift', 'uncertain'])
    t.false(isReset(reason));
});

const SIDE = 100;
const frameOf = (index: number, pixels = new Uint8Array(3 * SIDE * SIDE).fill(40)): Frame => ({
  ...{ index, name: `${index}.png`, arrival: arrivesNow(), pixels },
});
const counts = (predicted: number, dropped: number): SessionCounts => ({
  ...{ predicted, updated: 0, reasons: { 'no drift': predicted } },
  queue: { arrived: predicted + dropped, handled: predicted, dropped, adaptationSkipped: 0, waiting: 2 },
  source: { seen: predicted, skipped: 1, reasons: {}, garbageBytes: 0, restarts: 0 },
});

test('an adaptation: frames with pictures now and then, rates, entropy, decisions', async (t) => {
  let now = 0;
  const labels = { used: 3, waiting: 1, early: 0, forgotten: 0, invalid: 0 };
  const feed = new AdaptationFeed({
    ...{ clock: () => now, limitBytes: null, planned, budgetBytes: MIB, method: 'edgeshift', imageSize: SIDE },
    labels: () => labels,
  });
  const logits = Float32Array.of(0, Math.log(3), 0, 0, 0);
  const options = { classes: ['a', 'b', 'c', 'd', 'e'], probabilities: false };
  const outcomes = [
    { updated: true, reason: 'after drift' },
    { updated: true, reason: 'worse than the twin, rolled back' },
  ];
  for (const [n, outcome] of outcomes.entries()) {
    for (let k = 0; k < 3; k++) {
      const frame = frameOf(3 * n + k);
      feed.predicted(frame, predictionOf(frame, logits, outcome, options), logits);
    }
    feed.event({ kind: 'batch', counts: counts(3 * (n + 1), n) });
    now += 800;
    // A picture is made by another thread.
    await delay(300);
  }
  feed.event({ kind: 'trouble', text: 'no disk' });
  const { point, status, frames, log } = feed.tick(2000, memory, null);
  t.like(point, { rate: 3, lostRate: 0.5 });
  // Four classes at 1/7, one at 3/7.
  const entropy = -(4 / 7) * Math.log(1 / 7) - (3 / 7) * Math.log(3 / 7);
  t.true(Math.abs((point.entropy ?? 0) - entropy) < 1e-4);
  t.like(status.adaptation, { predicted: 6, updates: 2, resets: 1, dropped: 1, unreadable: 1, waiting: 2, labels });
  t.deepEqual(status.adaptation?.classes, [['b', 6]]);
  t.deepEqual(
    frames.map(({ frame, class: found, reason }) => [frame, found, reason]),
    [
      [0, 'b', 'after drift'],
      [3, 'b', 'worse than the twin, rolled back'],
    ],
    'one each 0.7 s',
  );
  t.true(Math.abs((frames[0]?.probability ?? 0) - 3 / 7) < 1e-6);
  const { width, height, format } = await sharp(Buffer.from(frames[0]?.image ?? '', 'base64')).metadata();
  t.deepEqual([width, height, format], [72, 72, 'jpeg']);
  t.deepEqual(
    log.map(({ text, tone }) => [text.replace(/: --.*/, ''), tone]),
    [
      ['method edgeshift, planned', 'plain'],
      ['frame 2: the model changed, after drift', 'plain'],
      ['frame 5: the model changed, worse than the twin, rolled back', 'bad'],
      ['no disk', 'bad'],
    ],
  );
});

test('an adaptation: logits that are not finite are shown as such', async (t) => {
  const labels = { used: 0, waiting: 0, early: 0, forgotten: 0, invalid: 0 };
  const feed = new AdaptationFeed({
    ...{
      clock: () => 0,
      limitBytes: null,
      planned,
      budgetBytes: MIB,
      method: 'tent',
      imageSize: SIDE,
      labels: () => labels,
    },
  });
  const logits = Float32Array.of(Number.NaN, 0);
  const frame = frameOf(0);
  const prediction = predictionOf(
    frame,
    logits,
    { updated: false, reason: 'x' },
    { classes: null, probabilities: false },
  );
  feed.predicted(frame, prediction, logits);
  await delay(300);
  const { point, frames, status } = feed.tick(500, memory, null);
  t.is(point.entropy, undefined);
  t.like(frames[0], { class: null, probability: null, entropy: null });
  t.deepEqual(status.adaptation?.classes, [['not finite', 1]]);
});

test('a thumbnail is the frame, smaller; a small one is as it was', async (t) => {
  const pixels = Uint8Array.from({ length: 3 * 144 * 144 }, (_, n) => (Math.floor(n / 3) % 144 < 72 ? 255 : 0));
  const { side, pixels: small } = shrunk(pixels, 144);
  t.is(side, 72);
  t.deepEqual([small[0], small[3 * 35], small[3 * 36], small[3 * 71]], [255, 255, 0, 0]);
  const own = Uint8Array.from({ length: 12 }, (_, n) => n);
  t.deepEqual(shrunk(own, 2), { side: 2, pixels: own });
  t.true(Buffer.from(await jpegText({ side, pixels: small }), 'base64').length < 3000);
});
