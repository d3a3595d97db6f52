import test from 'ava';
import * as fc from 'fast-check';
import { Debounce } from '../../runtime/hid/keys/debounce.ts';

const seed = 20261121;

/** Presses of one key that goes down and up again by turns at these moments. */
function presses(debounce: Debounce, moments: readonly number[]): number[] {
  return moments.filter((moment, n) => debounce.press(new Set(n % 2 === 0 ? ['1'] : []), moment).length > 0);
}

test('a contact that bounces at both ends is one press, told at once', (t) => {
  const debounce = new Debounce(40);
  t.deepEqual(presses(debounce, [100, 102, 105, 109, 110, 400, 402, 405]), [100]);
  t.is(debounce.ignored, 3);
  t.deepEqual(presses(debounce, [446, 500]), [446], 'the next press');
});

test('whatever the moments: a press counts exactly if the key was at rest before', (t) => {
  const gaps = fc.array(fc.oneof(fc.nat(60), fc.constantFrom(39, 40, 41)), { minLength: 1, maxLength: 60 });
  const property = fc.property(gaps, fc.constantFrom(0, 1, 40), (list, millis) => {
    let now = 0;
    const moments = list.map((gap) => {
      now += gap;
      return now;
    });
    const expected = moments.filter(
      (moment, n) => n % 2 === 0 && (n === 0 || moment - (moments[n - 1] ?? 0) >= millis),
    );
    t.deepEqual(presses(new Debounce(millis), moments), expected);
  });
  fc.assert(property, { seed, numRuns: 1000 });
});

test('keys do not disturb each other, and repeated reports of the same keys say nothing new', (t) => {
  const debounce = new Debounce(40);
  t.deepEqual(debounce.press(new Set(['1']), 0), ['1']);
  t.deepEqual(debounce.press(new Set(['1']), 1), []);
  t.deepEqual(debounce.press(new Set(['1', '3', '2']), 2), ['3', '2']);
  t.deepEqual(debounce.press(new Set(['1', '2']), 3), []);
  t.deepEqual(debounce.press(new Set(['1', '2', '3']), 4), [], 'bounced');
  t.deepEqual(debounce.press(new Set(['u']), 5), ['u']);
});

test('what was held when the device went away can be pressed again', (t) => {
  const debounce = new Debounce(40);
  debounce.press(new Set(['1']), 0);
  debounce.release();
  t.deepEqual(debounce.press(new Set(['1']), 1000), ['1']);
});
