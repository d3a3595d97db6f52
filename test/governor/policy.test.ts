/** The policy on synthetic traces: no clock, no kernel. */
import test from 'ava';
import type { MemoryReading } from '../../runtime/governor/memory-reading.ts';
import {
  judge,
  type Level,
  type Load,
  noTrend,
  reserveBytes,
  type Trend,
  type Verdict,
} from '../../runtime/governor/policy.ts';

const MIB = 2 ** 20;
const LIMIT = 256 * MIB;
/** A sixteenth of the limit. */
const RESERVE = 16 * MIB;

const load: Load = { expectedBytes: 0, reactionMillis: 500, usualMillis: 500, openingMillis: 0, patienceMillis: 2000 };

const reading = (atMillis: number, leftBytes: number, ownBytes = 100 * MIB): MemoryReading => ({
  atMillis,
  group: { usedBytes: LIMIT - leftBytes, limitBytes: LIMIT, shared: false },
  availableBytes: 8 * 2 ** 30,
  pressure: null,
  ownBytes,
});

/** Verdicts of a trace of looks: [milliseconds, MiB left, MiB of our own]. */
function verdicts(looks: readonly (readonly [number, number, number?])[], asked = load): readonly Verdict[] {
  let trend: Trend = noTrend;
  return looks.map(([at, left, own = 100]) => {
    const judged = judge(trend, reading(at, left * MIB, own * MIB), asked);
    trend = judged.trend;
    return judged.verdict;
  });
}

const levels = (looks: readonly (readonly [number, number, number?])[], asked = load): readonly Level[] =>
  verdicts(looks, asked).map(({ level }) => level);

/** Looks every 100 ms at what is left. */
const every100 = (lefts: readonly number[], from = 0): (readonly [number, number])[] =>
  lefts.map((left, i) => [from + 100 * i, left] as const);

test('levels by what is left, in reserves of a sixteenth of the limit, 8 to 64 MiB', (t) => {
  t.deepEqual(
    [100, 48, 47, 32, 31, 16, 15, -5].map((left) => levels([[0, left]])[0]),
    ['calm', 'calm', 'steady', 'steady', 'trim', 'trim', 'shrink', 'shrink'],
  );
  t.is(reserveBytes(reading(0, 0)), RESERVE);
  t.is(reserveBytes({ ...reading(0, 0), group: null }), 64 * MIB);
  t.is(reserveBytes({ ...reading(0, 0), group: { usedBytes: 0, limitBytes: 64 * MIB, shared: false } }), 8 * MIB);
});

test('what the engine is still to touch counts as gone', (t) => {
  t.deepEqual(levels([[0, 100, 100]], { ...load, expectedBytes: 190 * MIB }), ['shrink']);
  t.deepEqual(levels([[0, 10, 190]], { ...load, expectedBytes: 190 * MIB }), ['shrink']);
  t.deepEqual(levels([[0, 100, 190]], { ...load, expectedBytes: 190 * MIB }), ['calm']);
});

test('a neighbour that grows is met before it is there, and forgotten when it has stopped', (t) => {
  // 200 MiB/s, half a second to react: 100 MiB are as good as gone.
  const growing = verdicts(every100([200, 200, 180, 160, 140, 120, 100]));
  t.deepEqual(
    growing.map(({ level }) => level),
    ['calm', 'calm', 'calm', 'calm', 'steady', 'trim', 'shrink'],
  );
  t.regex(growing.at(-1)?.reason ?? '', /^100\.0 MiB of 256\.0 MiB left in the control group, going at 200\.0 MiB\/s$/);
  t.true(growing.slice(2).every(({ near }) => near));
  const after = levels([...every100([200, 180, 160, 140, 120]), ...every100(Array(40).fill(120), 500)]);
  t.is(after.at(5), 'trim');
  t.is(after.at(-1), 'calm');
});

test('what this process takes or gives back itself is no trend', (t) => {
  const own = verdicts([
    [0, 200, 50],
    [100, 150, 100],
    [200, 100, 150],
    [300, 60, 190],
  ]);
  t.deepEqual(
    own.map(({ level, allowedBytes }) => [level, allowedBytes]),
    Array(4).fill(['calm', 250 * MIB - 2 * RESERVE]),
  );
});

test('room is lasting once it has been there for all of the patience, as much as there was at least', (t) => {
  const looks = every100([...Array(15).fill(200), 150, ...Array(40).fill(200)]);
  const lasting = verdicts(looks, { ...load, reactionMillis: 0 }).map(({ lastingBytes }) => lastingBytes);
  t.true(lasting.slice(0, 20).every((bytes) => bytes === null));
  t.is(lasting[20], (100 + 150) * MIB - 3 * RESERVE, 'the dip counts');
  t.is(lasting.at(-1), (100 + 200) * MIB - 3 * RESERVE, 'and is forgotten in time');
});

test('a clock that jumps, either way, makes a fresh start', (t) => {
  for (const jump of [60_000, -60_000]) {
    const looks = [...every100(Array(30).fill(200)), ...every100([100, 100, 100], 3000 + jump)];
    const found = verdicts(looks);
    t.not(found[29]?.lastingBytes, null);
    t.is(found[30]?.level, 'calm', 'no speed between two times');
    t.is(found[30]?.lastingBytes, null, 'no patience either');
    t.is(found[32]?.level, 'calm');
  }
  t.deepEqual(
    levels([
      [0, 200],
      [0, 200],
      [0, 150],
    ]),
    ['calm', 'calm', 'calm'],
    'time that stands still is no speed',
  );
});

test('stalls count where memory is near its end, and nowhere else', (t) => {
  const stalled = (left: number): Level =>
    judge(noTrend, { ...reading(0, left * MIB), pressure: { some: 0.5, full: 0.3 } }, load).verdict.level;
  t.is(stalled(60), 'shrink');
  t.is(stalled(70), 'calm');
});

test('alone: nobody to wait for, once that has lasted', (t) => {
  const alone = (left: number, own: number): boolean | undefined =>
    verdicts(Array.from({ length: 30 }, (_, i) => [100 * i, left, own] as const)).at(-1)?.alone;
  t.true(alone(6, 240));
  t.false(alone(6, 200));
  t.false(verdicts([[0, 6, 240]])[0]?.alone);
});

test('readings that are no numbers are short of memory', (t) => {
  t.deepEqual(levels([[0, Number.NaN]]), ['shrink']);
});

test('who shares a control group may begin to take memory at any moment', (t) => {
  const beside = (leftBytes: number, shared: boolean): Level => {
    const { group, ...rest } = reading(0, leftBytes);
    return judge(noTrend, { ...rest, group: group && { ...group, shared } }, load).verdict.level;
  };
  // Half a second at 100 MiB/s, and a reserve.
  t.deepEqual(
    [66, 65].map((left) => beside(left * MIB, true)),
    ['trim', 'shrink'],
  );
  t.is(beside(65 * MIB, false), 'calm');
});
