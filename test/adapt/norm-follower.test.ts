/** How far norms follow: at once where a world has changed, as a running average of it from then on. */
import test from 'ava';
import type { GuardName } from '../../runtime/adapt/guards/names.ts';
import type { Learner, Values } from '../../runtime/adapt/learner.ts';
import { movingNorms } from '../../runtime/adapt/norm-drift.ts';
import { NormFollower } from '../../runtime/adapt/norm-follower.ts';
import { lookAt } from '../../runtime/adapt/norm-look.ts';
import { inPasses } from '../../runtime/adapt/passes.ts';
import { openMethod } from '../support/adapt-methods.ts';
import { randomImages } from '../support/draws.ts';

const count = 16;
const numbers = { memory: 16, pass: 8, gain: 0, least: 0, still: 0.005, settle: 4, skew: 0.03, skewMost: 0.1 };
const unguarded: ReadonlySet<GuardName> = new Set();
const worldOf = (seed: number): Uint8Array => randomImages(seed, count, 16).map((value) => 90 + value / 3);
const look = (images: Uint8Array) => ({ images, count, balanced: false });

const open = () => openMethod({ method: 'edgeshift', batch: count, numbers: { memory: 16, pass: 8 } });

async function statisticsOf(learner: Learner, images: Uint8Array): Promise<Values> {
  const inUse = await learner.read(learner.statistics);
  return (await lookAt(learner, movingNorms(learner.plan), inPasses(images, count, 8), inUse)).found;
}

/** Largest distance of values from the weighted sum of others. */
async function distance(learner: Learner, terms: readonly (readonly [number, Values])[]): Promise<number> {
  let largest = 0;
  for (const [name, values] of await learner.read(learner.statistics)) {
    values.forEach((value, i) => {
      const expected = terms.reduce((sum, [weight, of]) => sum + weight * (of.get(name)?.[i] ?? Number.NaN), 0);
      largest = Math.max(largest, Math.abs(value - expected) / Math.max(1, Math.abs(expected)));
    });
  }
  return largest;
}

test('frames of one world are averaged, however many looks they come in', async (t) => {
  await using method = await open();
  const { learner } = method;
  const follower = new NormFollower(learner, numbers, unguarded);
  const before = await learner.read(learner.statistics);
  // As if the statistics in use were those of one look.
  follower.load(Float32Array.of(count, 0));
  const [first, second] = [worldOf(1), worldOf(2)];
  const terms = [before, await statisticsOf(learner, first), await statisticsOf(learner, second)] as const;
  await follower.follow(look(first));
  t.is(follower.worth, 2 * count);
  await follower.follow(look(second));
  t.true(Math.abs(follower.worth - 3 * count) < 1e-3, `${follower.worth}`);
  const off = await distance(
    learner,
    terms.map((values) => [1 / 3, values] as const),
  );
  t.true(off <= 1e-5, `${off}`);
});

test('a changed world is followed at once, and its first frames are all that is known of it', async (t) => {
  await using method = await open();
  const { learner } = method;
  const follower = new NormFollower(learner, { ...numbers, gain: 1e6 }, new Set(['drift'] as const));
  t.is(follower.worth, Number.POSITIVE_INFINITY);
  const images = worldOf(3);
  const found = await statisticsOf(learner, images);
  const followed = await follower.follow(look(images));
  t.is(followed.found, 'drift');
  t.is(followed.logits.length, count * learner.classes);
  t.is(follower.worth, count);
  t.true((await distance(learner, [[1, found]])) <= 1e-6);
});

test('deployed statistics, and those it is told to trust, are not averaged away', async (t) => {
  await using method = await open();
  const { learner } = method;
  const follower = new NormFollower(learner, numbers, unguarded);
  const before = await learner.read(learner.statistics);
  await follower.follow(look(worldOf(4)));
  t.is(await distance(learner, [[1, before]]), 0);
  follower.load(Float32Array.of(count, 0));
  follower.trust();
  await follower.follow(look(worldOf(5)));
  t.is(await distance(learner, [[1, before]]), 0);
});

test('what few frames make of the drift by chance is not followed: the bound is the higher the fewer they are', async (t) => {
  await using method = await open();
  const { learner } = method;
  const images = worldOf(6);
  const inUse = await learner.read(learner.statistics);
  const { drift } = await lookAt(learner, movingNorms(learner.plan), inPasses(images, count, 8), inUse);
  t.true(drift > 0, `${drift}`);
  const found = async (memory: number): Promise<string> => {
    const follower = new NormFollower(learner, { ...numbers, memory, still: drift / 2 }, new Set(['drift'] as const));
    return (await follower.follow(look(images))).found;
  };
  t.is(await found(4 * count), 'no drift');
  t.is(await found(count), 'drift');
});
