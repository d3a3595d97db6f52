/** The state behind the page: bounded, and the same for a page that comes late. */
import test from 'ava';
import { EventLog } from '../../tools/dashboard/event-log.ts';
import { MOST_RECENT, MOST_WHOLE, mergedPoints, PointHistory } from '../../tools/dashboard/history.ts';
import { Mean, Timings } from '../../tools/dashboard/measures.ts';
import { DashboardState, MOST_FRAMES, MOST_LOG } from '../../tools/dashboard/state.ts';
import { nothingYet, type Snapshot, type Tick } from '../../tools/dashboard/tick.ts';
import { adaptRun, randomTicks } from './ticks.ts';

const SEED = 21;

test('two points become one that hides no peak', (t) => {
  t.deepEqual(
    mergedPoints(
      { at: 1, rssBytes: 9, groupBytes: 2, loss: 1, trainAccuracy: 0.1, p50Millis: 4, p99Millis: 50, entropy: 1 },
      { at: 2, rssBytes: 5, heapBytes: 3, loss: 3, trainAccuracy: 0.2, p50Millis: 6, p99Millis: 40 },
    ),
    {
      ...{ at: 2, rssBytes: 9, groupBytes: 2, heapBytes: 3, loss: 2, entropy: 1 },
      ...{ trainAccuracy: 0.2, p50Millis: 5, p99Millis: 50 },
    },
  );
});

test('a history of 16 hours has its room and its peak', (t) => {
  const history = new PointHistory();
  const count = 16 * 3600 * 2;
  for (let n = 1; n <= count; n++) history.add({ at: 500 * n, rssBytes: n === 777 ? 99 : 1 });
  t.is(history.recent().length, MOST_RECENT);
  t.is(history.recent().at(-1)?.at, 500 * count);
  t.is(history.recent()[0]?.at, 500 * (count - MOST_RECENT + 1));
  t.true(history.whole().length <= MOST_WHOLE && history.whole().length >= MOST_WHOLE / 2);
  t.is(Math.max(...history.whole().map(({ rssBytes = 0 }) => rssBytes)), 99);
});

test('a page that comes late knows the same, as JSON', (t) => {
  const state = DashboardState.begin(adaptRun, nothingYet);
  const ticks = [...randomTicks(SEED, 1500)];
  for (const tick of ticks.slice(0, 1000)) state.take(tick);
  const late = new DashboardState(JSON.parse(JSON.stringify(state.snapshot())) as Snapshot);
  for (const tick of ticks.slice(1000)) {
    state.take(tick);
    late.take(JSON.parse(JSON.stringify(tick)) as Tick);
  }
  const seen = ({ whole: _, ...rest }: Snapshot) => rest;
  t.deepEqual(seen(late.snapshot()), seen(state.snapshot()), `seed ${SEED}`);
  t.deepEqual(late.newest, ticks.at(-1)?.point ?? null);
  t.is(late.log().length, MOST_LOG);
  t.is(late.frames().length, MOST_FRAMES);
  // Of the whole run its grain may differ, not its ends and not its peak.
  const peak = ({ whole }: Snapshot) => Math.max(...whole.map(({ rssBytes = 0 }) => rssBytes));
  t.is(peak(late.snapshot()), peak(state.snapshot()));
  t.is(late.snapshot().whole.at(-1)?.at, state.snapshot().whole.at(-1)?.at);
});

test('a snapshot does not change with what comes after it', (t) => {
  const state = DashboardState.begin(adaptRun, nothingYet);
  const [first, ...others] = [...randomTicks(SEED, 50)];
  if (first) state.take(first);
  const snapshot = state.snapshot();
  const before = JSON.stringify(snapshot);
  for (const tick of others) state.take(tick);
  t.is(JSON.stringify(snapshot), before);
});

test('the end stays, whatever comes after it', (t) => {
  const state = DashboardState.begin(adaptRun, nothingYet);
  const [first, second] = [...randomTicks(SEED, 2)] as [Tick, Tick];
  state.take({ ...first, ended: { outcome: 'finished', text: 'done' } });
  state.take(second);
  t.deepEqual(state.ended, { outcome: 'finished', text: 'done' });
});

test('the log counts what repeats itself, across ticks, and cuts short what is much or long', (t) => {
  const log = new EventLog();
  log.add(1, 'a');
  log.add(2, 'a');
  log.add(3, 'b', 'bad');
  t.deepEqual(log.take(), [
    { id: 1, at: 2, tone: 'plain', text: 'a', count: 2 },
    { id: 2, at: 3, tone: 'bad', text: 'b', count: 1 },
  ]);
  log.add(4, 'b', 'bad');
  log.add(5, 'b');
  t.deepEqual(log.take(), [
    { id: 2, at: 4, tone: 'bad', text: 'b', count: 2 },
    { id: 3, at: 5, tone: 'plain', text: 'b', count: 1 },
  ]);
  for (let n = 0; n < 1000; n++) log.add(n, `${n}`);
  const many = log.take();
  t.is(many.length, 9);
  t.like(many.at(-1), { text: 'more than can be shown', count: 992 });
  log.add(9, 'x'.repeat(10_000));
  t.is(log.take()[0]?.text.length, 300);
});

test('a repeated entry takes the place of its first, a later one stands after it', (t) => {
  const state = DashboardState.begin(adaptRun, nothingYet);
  const [tick] = [...randomTicks(SEED, 1)] as [Tick];
  const entry = { id: 1, at: 1, tone: 'plain', text: 'a', count: 1 } as const;
  state.take({ ...tick, log: [entry] });
  state.take({
    ...tick,
    log: [
      { ...entry, count: 2 },
      { ...entry, id: 2 },
    ],
  });
  t.deepEqual(
    state.log().map(({ id, count }) => [id, count]),
    [
      [1, 2],
      [2, 1],
    ],
  );
});

test('means are of one tick, and what is not finite counts for nothing', (t) => {
  const mean = new Mean();
  t.is(mean.take(), undefined);
  for (const value of [1, Number.NaN, 3, Number.POSITIVE_INFINITY]) mean.add(value);
  t.is(mean.take(), 2);
  t.is(mean.take(), undefined);
});

test('quantiles of the last 512 follow, those of the run remember', (t) => {
  const timings = new Timings();
  t.is(timings.whole(), null);
  t.deepEqual(timings.last(), {});
  for (let n = 0; n < 1000; n++) timings.add(100);
  for (let n = 0; n < 512; n++) timings.add(10);
  t.deepEqual(timings.last(), { p50Millis: 10, p99Millis: 10 });
  const whole = timings.whole();
  t.like(whole, { count: 1512, sumMillis: 105_120 });
  // Buckets are 2 % wide.
  t.true(Math.abs((whole?.p50Millis ?? 0) / 100 - 1) <= 0.02);
});
