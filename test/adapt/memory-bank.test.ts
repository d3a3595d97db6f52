import test from 'ava';
import fc from 'fast-check';
import { bankBytes, cstu, type MemoryBank, pbrs } from '../../runtime/adapt/memory-bank.ts';
import { Random } from '../../runtime/train/random.ts';

const seed = 20261121;
const shape = { capacity: 12, frameBytes: 6, classes: 4 };
const banks = { cstu: () => cstu(shape), pbrs: () => pbrs(shape, seed) } as const;

const frame = (number: number): Uint8Array => Uint8Array.of(number, number >> 8, 1, 2, 3, 255);

/** Offers frames of a stream whose labels stay the same for a while; returns what was said of each. */
function feed(bank: MemoryBank, from: number, to: number, key = 0): boolean[] {
  return Array.from({ length: to - from }, (_, i) => {
    const random = new Random(seed, key, from + i);
    const label = random.uniform() < 0.1 ? random.integer(0, 3) : Math.floor((from + i) / 40) % 4;
    return bank.add(frame(from + i), label, random.uniform(0, Math.log(4)));
  });
}

const held = ({ labels }: MemoryBank): number[] =>
  [0, 1, 2, 3].map((c) => labels.filter((label) => label === c).length);
const number = (bank: MemoryBank, slot: number): number =>
  (bank.frames[6 * slot] ?? 0) + 256 * (bank.frames[6 * slot + 1] ?? 0);

for (const [name, make] of Object.entries(banks)) {
  test(`${name}: full and balanced after a stream sorted by class`, (t) => {
    const bank = make();
    feed(bank, 0, 400);
    t.is(bank.size, shape.capacity);
    t.deepEqual(held(bank), [3, 3, 3, 3], `seed ${seed}`);
    t.is(bank.frames.length, shape.capacity * shape.frameBytes);
  });

  test(`${name}: a class that never comes leaves its room to the others, or empty`, (t) => {
    const bank = make();
    for (let i = 0; i < 200; i++) bank.add(frame(i), i % 2, 0.5);
    const [first = 0, second = 0] = held(bank);
    t.is(first, second);
    t.is(first + second, bank.size);
    t.true(bank.size >= shape.capacity / 2);
  });

  test(`${name}: frames keep their labels and ages, and continue to the bit from a saved state`, (t) => {
    fc.assert(
      fc.property(fc.nat(150), fc.integer({ min: 1, max: 150 }), fc.nat(), (before, after, key) => {
        const [bank, other] = [make(), make()];
        feed(bank, 0, before, key);
        feed(other, 1000, 1040);
        other.clear();
        other.load(bank.save());
        t.deepEqual(feed(other, before, before + after, key), feed(bank, before, before + after, key));
        t.deepEqual(other.save(), bank.save());
        for (let slot = 0; slot < bank.size; slot++) {
          t.is(number(bank, slot) + (bank.ages[slot] ?? 0), before + after, 'the age counts from the offer');
        }
      }),
      { seed, numRuns: 30 },
    );
  });

  test(`${name}: a cleared bank is a new one`, (t) => {
    const bank = make();
    feed(bank, 0, 100);
    bank.clear();
    t.deepEqual(bank.save(), make().save());
    t.is(bank.frames.length, 0);
  });
}

test('cstu: the score decides: old and uncertain frames leave, and a worse one is not taken', (t) => {
  const bank = cstu({ ...shape, capacity: 4, classes: 2 });
  const sure = 0.01;
  for (const [i, label] of [0, 0, 1, 1].entries()) t.true(bank.add(frame(i), label, i === 1 ? 0.6 : sure));
  t.true(bank.add(frame(4), 0, sure), 'replaces the uncertain one of its class');
  t.deepEqual(
    [...bank.labels.keys()].map((slot) => number(bank, slot)),
    [0, 4, 2, 3],
  );
  t.false(bank.add(frame(5), 1, Math.log(2)), 'worse than what is kept');
  t.true(bank.add(frame(6), 1, sure), 'replaces the oldest of its class');
  t.deepEqual(
    [...bank.labels.keys()].map((slot) => number(bank, slot)),
    [0, 4, 6, 3],
  );
  const three = cstu({ ...shape, capacity: 4, classes: 3 });
  for (const [i, label] of [0, 0, 1, 1].entries()) three.add(frame(i), label, i === 0 ? 0.6 : sure);
  t.true(three.add(frame(4), 2, sure), 'a class below its quota takes from the largest');
  t.is(number(three, 0), 4);
});

test('pbrs: what is kept of a class is a uniform sample of what was offered', (t) => {
  const [draws, offers] = [600, 100];
  let sum = 0;
  for (let draw = 0; draw < draws; draw++) {
    const bank = pbrs({ ...shape, capacity: 4, classes: 2 }, draw);
    for (let i = 0; i < offers; i++) bank.add(frame(i), 0, 0);
    for (let slot = 0; slot < bank.size; slot++) sum += number(bank, slot) / 4;
  }
  // Of n = 4 drawn from 0 to 99 without putting back, over all draws.
  const deviation = Math.sqrt(((offers + 1) * (offers - 4)) / (12 * 4) / draws);
  t.true(Math.abs(sum / draws - (offers - 1) / 2) <= 4 * deviation, `mean ${sum / draws}, deviation ${deviation}`);
});

test('a bank takes the bytes that were stated', (t) => {
  const large = { capacity: 256, frameBytes: 32 * 32 * 3, classes: 100 };
  const [kept, one]: [MemoryBank[], Uint8Array] = [[], new Uint8Array(large.frameBytes)];
  const held = (): number => {
    for (let i = 0; i < 3; i++) globalThis.gc?.();
    return process.memoryUsage().arrayBuffers;
  };
  const before = held();
  for (let i = 0; i < 8; i++) kept.push(i % 2 ? cstu(large) : pbrs(large, i));
  for (const bank of kept) bank.add(one, 0, 0);
  const bytes = (held() - before) / kept.length;
  t.true(Math.abs(bytes - bankBytes(large)) <= 256, `${bytes} bytes each, stated ${bankBytes(large)}`);
});
