import test from 'ava';
import * as fc from 'fast-check';
import { keyDevices } from '../../runtime/hid/keys/key-devices.ts';
import { keyboardKeys } from '../../runtime/hid/keys/key-names.ts';
import {
  type KeyReader,
  readFirstStreamDeck,
  readKeyboard,
  readStreamDeck,
  readStreamDeckMini,
  readVecPedal,
} from '../../runtime/hid/keys/key-reports.ts';

const seed = 20261121;

function keys(read: KeyReader, hex: string): string[] | null {
  const down = read(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  return down && [...down];
}

test('keyboards: by usage, with and without a report number', (t) => {
  t.deepEqual(keys(readKeyboard, '00 00 1e 00 00 00 00 00'), ['1']);
  t.deepEqual(keys(readKeyboard, '02 00 18 04 00 00 00 00'), ['u', 'a'], 'shift has no name');
  t.deepEqual(keys(readKeyboard, '00 00 00 00 00 00 00 00'), []);
  t.deepEqual(keys(readKeyboard, '00 00 59 28 58 fe 00 00'), ['1', 'enter'], 'keypad, twice enter, an unknown one');
  t.deepEqual(keys(readKeyboard, '01 00 00 05 00 00 00 00 00'), ['b'], 'as a PCsensor pedal sends it');
  t.is(keys(readKeyboard, '02 00 00 05 00 00 00 00 00'), null, 'of its mouse');
  t.is(keys(readKeyboard, '00 00 01 01 01 01 01 01'), null, 'more keys than it can tell apart');
});

test('VEC pedal: a bit a pedal', (t) => {
  const down = ['00 00', '01 00', '02 00', '03 00', '04 00', '07 00'].map((hex) => keys(readVecPedal, hex)?.join(''));
  t.deepEqual(down, ['', '1', '2', '12', '3', '123']);
  t.is(keys(readVecPedal, '01'), null);
});

test('Elgato: newer devices say how many keys they have', (t) => {
  t.deepEqual(keys(readStreamDeck, '01 00 03 00 00 01 00 00'), ['2'], 'the pedal');
  t.deepEqual(keys(readStreamDeck, `01 00 20 00 ${'00'.repeat(31)} 01 ${'00'.repeat(476)}`), ['32'], 'the XL');
  t.is(keys(readStreamDeck, '01 03 05 00 01 01 00 00 00'), null, 'a dial');
  t.is(keys(readStreamDeck, '01 00 ff ff 01'), null);
  t.deepEqual(keys(readStreamDeckMini, '01 01 00 00 00 00 01'), ['1', '6']);
  t.deepEqual(
    keys(readFirstStreamDeck, `01 01 00 00 00 00 00 00 00 00 01 ${'00'.repeat(5)}`),
    ['5', '6'],
    'from right to left',
  );
});

test('any bytes: a known key or none, and never an error', (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 70 }),
    fc.uint8Array({ minLength: 8, maxLength: 9 }),
    fc.uint8Array({ maxLength: 70 }).map((rest) => Uint8Array.from([1, 0, 3, 0, ...rest])),
  );
  const property = fc.property(fc.constantFrom(...keyDevices), bytes, ({ read, keys: known, name }, report) => {
    for (const key of read(report) ?? []) {
      // A key pad may say that it has more keys than the model with its id is known to have.
      const numbered = Number(key) >= 1 && Number(key) <= 64;
      if (!known.includes(key) && !(read === readStreamDeck && numbered)) throw new Error(`${name}: ${key}`);
    }
  });
  t.notThrows(() => fc.assert(property, { seed, numRuns: 20_000 }));
});

test('tables: no id twice, every key has a name of its own spelling', (t) => {
  const ids = keyDevices.map(({ vendorId, productId }) => `${vendorId}:${productId}`);
  t.is(new Set(ids).size, ids.length);
  t.true([...keyboardKeys.values()].every((name) => /^[a-z0-9]+$/.test(name)));
  t.deepEqual(
    [0x04, 0x1d, 0x1e, 0x27, 0x2c, 0x45, 0x52, 0x62].map((usage) => keyboardKeys.get(usage)),
    [...['a', 'z', '1', '0', 'space', 'f12', 'up', '0']],
  );
});
