import test from 'ava';
import { Calm } from '../../runtime/adapt/guards/calm.ts';
import { Random } from '../../runtime/train/random.ts';

const seed = 20261121;
const memory = 64;

/** Entropies of a stream whose mean they have, skewed as those of mostly certain predictions are. */
const entropies = (random: Random, count: number, mean: number): Float32Array =>
  Float32Array.from({ length: count }, () => -mean * Math.log(1 - random.uniform()));

test('looks become rarer while nothing drifts, and frequent again at once when something does', (t) => {
  const random = new Random(seed);
  const calm = new Calm(memory);
  const patiences: number[] = [];
  for (let look = 0; look < 6; look++) {
    patiences.push(calm.patience);
    calm.saw(entropies(random, calm.patience, 0.2));
    calm.looked(false);
  }
  t.deepEqual(patiences, [64, 128, 256, 512, 512, 512]);
  calm.looked(true);
  t.is(calm.patience, memory);
});

test('predictions less sure than before end the wait; sampling alone hardly ever does', (t) => {
  const random = new Random(seed);
  let [early, surprised] = [0, 0];
  const streams = 300;
  for (let stream = 0; stream < streams; stream++) {
    const calm = new Calm(memory);
    for (let look = 0; look < 4; look++) {
      calm.saw(entropies(random, memory, 0.2));
      calm.looked(false);
    }
    calm.saw(entropies(random, 32, 0.2));
    early += Number(calm.patience === memory);
    calm.saw(entropies(random, memory, 0.8));
    surprised += Number(calm.patience === memory);
  }
  t.log(`seed ${seed}: ${early} of ${streams} for nothing, ${surprised} when it mattered`);
  t.true(early <= 0.05 * streams);
  t.true(surprised >= 0.9 * streams);
});

test('goes on from its state', (t) => {
  const random = new Random(seed);
  const [one, other] = [new Calm(memory), new Calm(memory)];
  for (let round = 0; round < 5; round++) {
    one.saw(entropies(random, 48, 0.2 + 0.1 * round));
    other.load(one.save());
    t.is(other.patience, one.patience);
    t.deepEqual(other.save(), one.save());
    one.looked(round === 2);
  }
  one.reset();
  t.deepEqual(one.save(), new Calm(memory).save());
});
