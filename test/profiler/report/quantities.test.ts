import test from 'ava';
import { changeText, durationText, fewDigits, median } from '../../../tools/profiler/report/quantities.ts';

test('durations', (t) => {
  const texts = [0.0421, 3.217, 812, 12_345, 604_200, null].map(durationText);
  t.deepEqual(texts, ['0.0421 ms', '3.22 ms', '812 ms', '12.3 s', '10 min 4 s', '–']);
});

test('changes in percent: signed, and a dash where they cannot be told', (t) => {
  const texts = [
    changeText(100, 102.13),
    changeText(200, 100),
    changeText(5, 5),
    changeText(0, 0),
    changeText(1e6, 1_000_001),
  ];
  t.deepEqual(texts, ['+2.1 %', '−50.0 %', '0 %', '0 %', '+0.0001 %']);
  t.deepEqual([changeText(0, 3), changeText(null, 3), changeText(3, null)], ['–', '–', '–']);
});

test('few digits', (t) => {
  t.deepEqual([0, 0.000123, 1.234, 45.67, 1234.5, 1e9].map(fewDigits), [
    '0',
    '0.000123',
    '1.23',
    '45.7',
    '1,235',
    '1,000,000,000',
  ]);
});

test('median', (t) => {
  t.deepEqual([median([]), median([3]), median([4, 1, 3]), median([4, 1])], [null, 3, 3, 2.5]);
});
