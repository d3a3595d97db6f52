/** Which hosts are tried in which order, and when it stops: for any fleet and any failures. */
import test from 'ava';
import fc from 'fast-check';
import { type Host, hostOf } from '../../tools/deploy/host/host.ts';
import { decide, type HostOutcome, planRollout, rolloutReport } from '../../tools/deploy/host/rollout.ts';
import { rolloutJson, rolloutText } from '../../tools/deploy/host/rollout-text.ts';
import { runRollout } from '../../tools/deploy/host/run-rollout.ts';

const fleet = (count: number): readonly Host[] => Array.from({ length: count }, (_, n) => hostOf(`board${n}`));

const outcomeOf = (host: Host, failed: boolean): HostOutcome => ({
  ...{ host, failed, result: failed ? 'rolled back' : 'updated', reason: failed ? 'not ready within 60 s' : null },
  ...{ code: failed ? 'EXECUTION' : null, sentBytes: 10, millis: 20 },
});

const rollouts = fc.record({
  failing: fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }),
  canary: fc.nat(5),
  parallel: fc.integer({ min: 1, max: 8 }),
  maxFailures: fc.nat(4),
});

test('every host is in one wave, in the order of the inventory, canaries first', (t) => {
  fc.assert(
    fc.property(rollouts, ({ failing, ...options }) => {
      const hosts = fleet(failing.length);
      const { waves } = planRollout(hosts, options);
      t.deepEqual(
        waves.flatMap((wave) => wave.hosts),
        hosts,
      );
      t.true(waves.every((wave) => wave.hosts.length >= 1 && wave.hosts.length <= options.parallel));
      const canaries = waves.filter(({ kind }) => kind === 'canary').flatMap((wave) => wave.hosts);
      t.deepEqual(canaries, hosts.slice(0, options.canary));
    }),
  );
});

test('a canary that fails stops it; later failures stop it beyond what is allowed; nobody is tried after that', async (t) => {
  await fc.assert(
    fc.asyncProperty(rollouts, async ({ failing, ...options }) => {
      const hosts = fleet(failing.length);
      const tried: Host[] = [];
      const report = await runRollout(hosts, {
        ...options,
        release: 'r',
        push: async (host) => {
          tried.push(host);
          return outcomeOf(host, failing[hosts.indexOf(host)] === true);
        },
      });
      const results = report.hosts.map(({ result }) => result);
      t.deepEqual(
        report.hosts.map(({ host }) => host),
        hosts,
        'everyone is in the report',
      );
      t.deepEqual(tried, hosts.slice(0, tried.length));
      for (const [at, result] of results.entries()) {
        t.is(result, at >= tried.length ? 'untouched' : failing[at] === true ? 'rolled back' : 'updated');
      }
      // What may fail at most: those allowed, and one wave whose hosts go at once.
      const failures = results.filter((result) => result === 'rolled back').length;
      t.true(failures <= options.maxFailures + options.parallel, `${failures}`);
      const canaries = failing.slice(0, options.canary).includes(true);
      if (canaries) t.true(tried.length <= options.canary, 'no host beyond the canaries');
      const isWhole = tried.length === hosts.length;
      t.is(report.stopped === null, isWhole, `${report.stopped}`);
      if (!canaries && failures <= options.maxFailures) t.true(isWhole);
    }),
  );
});

test('why it stopped, in words', (t) => {
  const hosts = fleet(6);
  const plan = planRollout(hosts, { canary: 1, parallel: 2, maxFailures: 0 });
  const [first, second, third] = hosts as [Host, Host, Host];
  t.deepEqual(decide(plan, [[outcomeOf(first, true)]]), { kind: 'stop', reason: 'canary board0 failed' });
  const outcomes = [[outcomeOf(first, false)], [outcomeOf(second, true), outcomeOf(third, false)]];
  const decision = decide(plan, outcomes);
  t.deepEqual(decision, { kind: 'stop', reason: '1 failed (board1), where --max-failures is 0' });
  const report = rolloutReport('0123456789abcdef', plan, outcomes, '1 failed (board1), where --max-failures is 0');
  t.is(
    rolloutText(report),
    [
      'release 0123456789abcdef',
      'host    result       sent   time  why',
      'board0  updated      10 B  0.0 s',
      'board1  rolled back  10 B  0.0 s  not ready within 60 s',
      'board2  updated      10 B  0.0 s',
      ...[3, 4, 5].map(
        (n) => `board${n}  untouched     0 B  0.0 s  not tried: 1 failed (board1), where --max-failures is 0`,
      ),
      'stopped: 1 failed (board1), where --max-failures is 0',
      '',
    ].join('\n'),
  );
  t.like(rolloutJson(report), { release: '0123456789abcdef', hosts: { 1: { host: 'board1', result: 'rolled back' } } });
});

test('what is interrupted begins no further wave', async (t) => {
  const interrupted = new AbortController();
  const report = await runRollout(fleet(3), {
    ...{ canary: 1, parallel: 1, maxFailures: 0, release: 'r', signal: interrupted.signal },
    push: async (host) => {
      if (host.name === 'board1') interrupted.abort();
      return outcomeOf(host, false);
    },
  });
  t.is(report.stopped, 'interrupted');
  t.deepEqual(
    report.hosts.map(({ result }) => result),
    ['updated', 'updated', 'untouched'],
  );
});
