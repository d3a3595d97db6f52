import test from 'ava';
import * as fc from 'fast-check';
import type { KeyMapping } from '../../runtime/hid/keys/key-mapping.ts';
import { type FrameLabel, Labeller } from '../../runtime/hid/keys/labeller.ts';

const seed = 20261121;

const mapping: KeyMapping = new Map([
  ['1', { kind: 'label', class: 1 }],
  ['2', { kind: 'label', class: 2 }],
  ['3', { kind: 'label', class: 3 }],
  ['u', { kind: 'undo' }],
]);

test('key 3 is class 3 for the current frame, after the time for undo', (t) => {
  const labeller = new Labeller(mapping, 2000);
  t.is(labeller.press('3', 0), 'idle', 'nothing was shown yet');
  labeller.show(17);
  t.is(labeller.press('3', 10), 'labelled');
  labeller.show(18);
  t.is(labeller.press('9', 20), 'idle');
  t.is(labeller.dueMillis(), 2010);
  t.deepEqual(labeller.release(2009), []);
  t.deepEqual(labeller.release(2010), [{ frame: 17, class: 3 }]);
  t.is(labeller.dueMillis(), null);
  t.is(labeller.press('u', 2011), 'idle', 'too late');
  t.deepEqual(labeller.counts(), { given: 1, held: 0, undone: 0, replaced: 0, idle: 3 });
});

test('the last label of a frame counts, and undo brings back the one before', (t) => {
  const labeller = new Labeller(mapping, 2000);
  labeller.show(5);
  labeller.press('1', 0);
  labeller.press('2', 1500);
  t.deepEqual(labeller.release(2500), [], 'the correction can still be undone');
  labeller.press('u', 3000);
  t.deepEqual(labeller.release(3000), []);
  t.is(labeller.dueMillis(), 5000);
  t.deepEqual(labeller.release(5000), [{ frame: 5, class: 1 }]);
  labeller.press('1', 6000);
  labeller.press('3', 6001);
  t.deepEqual(labeller.flush(), [{ frame: 5, class: 3 }]);
  t.deepEqual(labeller.counts(), { given: 2, held: 0, undone: 1, replaced: 1, idle: 0 });
});

test('undo asks for a label that was given out only where none is held', (t) => {
  let out = 1;
  const labeller = new Labeller(mapping, 100, () => out-- > 0);
  labeller.show(1);
  labeller.press('1', 0);
  t.is(labeller.press('u', 1), 'undone');
  t.is(out, 1, 'that one was held');
  t.is(labeller.press('u', 2), 'undone');
  t.is(labeller.press('u', 3), 'idle');
  t.deepEqual(labeller.counts(), { given: 0, held: 0, undone: 2, replaced: 0, idle: 1 });
});

test('a key that skips labels nothing and counts as no idle one', (t) => {
  const labeller = new Labeller(new Map([...mapping, ['s', { kind: 'skip' }]]), 100);
  labeller.show(1);
  t.is(labeller.press('s', 0), 'skipped');
  t.is(labeller.dueMillis(), null);
  t.like(labeller.counts(), { held: 0, idle: 0 });
});

type Step =
  | { readonly kind: 'press'; readonly key: string }
  | { readonly kind: 'show' }
  | { readonly kind: 'wait'; readonly millis: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('1', '2', '3', 'u', 'x').map((key) => ({ kind: 'press', key }) as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'show' } as const) },
  { weight: 2, arbitrary: fc.nat(150).map((millis) => ({ kind: 'wait', millis }) as const) },
);

test('presses and undos of any order: a stack, of which each frame gives its last label', (t) => {
  const property = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const labeller = new Labeller(mapping, Number.MAX_VALUE);
    const stack: FrameLabel[] = [];
    let frame = 0;
    labeller.show(frame);
    for (const [n, taken] of steps.entries()) {
      if (taken.kind === 'show') labeller.show(++frame);
      if (taken.kind !== 'press') continue;
      labeller.press(taken.key, n);
      if (taken.key === 'u') stack.pop();
      else if (taken.key !== 'x') stack.push({ frame, class: Number(taken.key) });
    }
    const last = new Map(stack.map((label) => [label.frame, label]));
    t.deepEqual(labeller.flush(), [...last.values()]);
  });
  fc.assert(property, { seed, numRuns: 500 });
});

test('as time passes: each label is given once, never early, and every press is accounted for', (t) => {
  const hold = 100;
  const property = fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
    const labeller = new Labeller(mapping, hold);
    const labelledAt = new Map<number, number>();
    const given: FrameLabel[] = [];
    let now = 0;
    let frame = 0;
    let labels = 0;
    labeller.show(frame);
    for (const taken of steps) {
      if (taken.kind === 'show') labeller.show(++frame);
      else if (taken.kind === 'wait') now += taken.millis;
      else if (labeller.press(taken.key, now) === 'labelled') {
        labels += 1;
        labelledAt.set(frame, now);
      }
      const due = labeller.dueMillis();
      const released = labeller.release(now);
      t.is(released.length > 0, due !== null && due <= now);
      for (const { frame: of } of released) t.true(now - (labelledAt.get(of) ?? now) >= hold);
      given.push(...released);
    }
    given.push(...labeller.flush());
    const counts = labeller.counts();
    t.is(counts.held, 0);
    t.is(counts.given, given.length);
    t.is(counts.given + counts.undone + counts.replaced, labels);
  });
  fc.assert(property, { seed, numRuns: 500 });
});
