/** The bisection alone: which caps are tried and what ends the search. Real processes are in profile.test.ts. */
import test from 'ava';
import { Random } from '../../runtime/train/random.ts';
import { CAP_RESOLUTION_BYTES, findCap, type RunUnderCap } from '../../tools/profiler/find-cap.ts';
import type { ProfileRecord } from '../../tools/profiler/record.ts';
import { recordOf } from '../support/profile-records.ts';

const MIB = 2 ** 20;
const SEED = 11;

/** A command that needs so many bytes and was planned for others. */
function needing(bytes: number, plannedBytes: number): RunUnderCap {
  return async (cap) =>
    recordOf({
      plannedBytes,
      limitBytes: cap,
      status: cap === null || cap >= bytes ? 'finished' : 'out of memory',
    });
}

test('the smallest cap that works, to the resolution, wherever the plan stands', async (t) => {
  const random = new Random(SEED);
  for (let n = 0; n < 200; n++) {
    const needed = MIB * (20 + 300 * random.uniform());
    const planned = needed * (0.4 + 2 * random.uniform());
    const { capBytes, smallest, attempts } = await findCap(needing(needed, planned));
    const about = `seed ${SEED}: needs ${needed}, planned ${planned}, found ${capBytes}`;
    t.true(capBytes >= needed && capBytes - needed < CAP_RESOLUTION_BYTES, about);
    t.is(smallest.limit.memoryBytes, capBytes, about);
    t.true(attempts.length <= 12, `${about}: ${attempts.length} runs`);
  }
});

test('a plan that is exact to a few percent takes few runs', async (t) => {
  const { attempts } = await findCap(needing(150 * MIB, 154 * MIB));
  t.true(attempts.length <= 7, `${attempts.length}`);
});

test('a failure that is not for memory stops the search and says what the command said', async (t) => {
  const run: RunUnderCap = async (cap) =>
    recordOf({ plannedBytes: 100 * MIB, limitBytes: cap, status: cap === null ? 'finished' : 'failed' });
  await t.throwsAsync(findCap(run), {
    name: 'ExecutionError',
    message: /failed under a cap of 100\.0 MiB .*no such file/s,
  });
});

test('a command that fails without a cap is not searched', async (t) => {
  const run: RunUnderCap = async () => recordOf({ plannedBytes: 100 * MIB, limitBytes: null, status: 'failed' });
  await t.throwsAsync(findCap(run), { name: 'ExecutionError', message: /failed without a cap/ });
});

test('a plan that follows the cap is refused: the caps would not be compared for one thing', async (t) => {
  const run: RunUnderCap = async (cap) =>
    recordOf({
      plannedBytes: cap ?? 100 * MIB,
      limitBytes: cap,
      status: cap === 90 * MIB ? 'out of memory' : 'finished',
    });
  await t.throwsAsync(findCap(run), { name: 'ExecutionError', message: /same plan under every cap/ });
});

test('too slow is a cap that does not work', async (t) => {
  const killed = (record: ProfileRecord, millis: number): ProfileRecord => ({
    ...record,
    millis,
    outcome: { ...record.outcome, status: 'interrupted', exitCode: null, signal: 'SIGKILL' },
  });
  const { capBytes, attempts } = await findCap(async (cap, limit) => {
    const record = recordOf({ plannedBytes: 100 * MIB, limitBytes: cap, status: 'finished' });
    return cap !== null && cap < 96 * MIB ? killed(record, limit ?? 0) : record;
  });
  t.is(capBytes, 96 * MIB);
  t.true(attempts.some(({ end, works }) => end === 'too slow' && !works));
});

test('a command that no cap satisfies', async (t) => {
  await t.throwsAsync(findCap(needing(Number.POSITIVE_INFINITY, 40 * MIB)), {
    name: 'ExecutionError',
    message: /under 4 times the planned 40\.0 MiB/,
  });
});
