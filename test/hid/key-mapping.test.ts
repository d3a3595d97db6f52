import test from 'ava';
import { UsageError } from '../../runtime/errors.ts';
import { type MappingOptions, parseKeyMapping } from '../../runtime/hid/keys/key-mapping.ts';

const pedal: MappingOptions = { classCount: 3, classes: ['cat', 'dog', 'owl'], keys: ['1', '2', '3'] };
const keyboard: MappingOptions = { ...pedal, keys: ['1', '2', '3', 'a', 'u', 'enter'] };

const label = (number: number) => ({ kind: 'label', class: number });
const undo = { kind: 'undo' };

test('classes by name and by number, undo, any spaces', (t) => {
  const read = (text: string, options = keyboard) => Object.fromEntries(parseKeyMapping(text, options));
  t.deepEqual(read('1=cat,2=dog,u=undo'), { 1: label(0), 2: label(1), u: undo });
  t.deepEqual(read(' 1 = 2 , Enter=0 '), { 1: label(2), enter: label(0) });
  t.deepEqual(read('1=0,2=0', { ...pedal, classes: null }), { 1: label(0), 2: label(0) });
  const digits = { ...keyboard, classes: ['2', 'undo', 'a=b'] };
  t.deepEqual(read('1=2,2=1,3=a=b,u=undo', digits), { 1: label(0), 2: label(1), 3: label(2), u: undo });
});

test('skip is a word of its own only where there is something to skip', (t) => {
  const options = { ...keyboard, classes: ['cat', 'skip'], classCount: 2 };
  t.deepEqual(Object.fromEntries(parseKeyMapping('1=skip', options)), { 1: label(1) });
  const skipping = Object.fromEntries(parseKeyMapping('1=cat,2=skip,3=1', { ...options, skip: true }));
  t.deepEqual(skipping, { 1: label(0), 2: { kind: 'skip' }, 3: label(1) });
  t.throws(() => parseKeyMapping('1=skip,2=undo', { ...options, skip: true }), { message: /at least one class/ });
});

for (const [text, options, message] of [
  ['', pedal, /"": expected <key>=<class> or <key>=undo/],
  ['1', pedal, /"1": expected <key>=<class>/],
  ['1=cat,,2=dog', pedal, /"": expected <key>=<class>/],
  ['=cat', pedal, /"=cat": expected <key>=<class>/],
  ['4=cat', pedal, /"4=cat": expected the key to be one of 1, 2, 3$/m],
  ['1=cat,1=dog', pedal, /"1=dog": the key 1 was given before/],
  ['1=horse', pedal, /"1=horse": expected the class to be a name, such as "cat", or a number from 0 to 2/],
  ['1=3', pedal, /"1=3": expected the class to be/],
  ['1=-1', { ...pedal, classes: null }, /expected the class to be a number from 0 to 2/],
  ['1=1.5', pedal, /expected the class/],
  ['3=undo', pedal, /expected a key for at least one class/],
] as const) {
  test(`refused: ${JSON.stringify(text)}${options.classes ? '' : ' without names'}`, (t) => {
    const error = t.throws(() => parseKeyMapping(text, options), { instanceOf: UsageError, message });
    t.regex(error?.message ?? '', /^label keys: /);
    t.regex(error?.message ?? '', /\nHint: such as 1=/);
  });
}

test('every fault is told at once', (t) => {
  const error = t.throws(() => parseKeyMapping('9=cat,1=horse,2', pedal), { instanceOf: UsageError });
  t.is((error?.facts.faults as string[] | undefined)?.length, 3);
});
