/** `profile --dashboard`: the page of the profiler has what the command tells, under its cap, and the command's process has no server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { DashboardState } from '../../tools/dashboard/state.ts';
import type { Snapshot, Tick } from '../../tools/dashboard/tick.ts';
import { edgeshift } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';
import { parseExposition } from './exposition.ts';
import { type Heard, listen } from './server-clients.ts';

const MIB = 2 ** 20;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-live-profile-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

/** Follows the events to their end. */
async function follow(t: ExecutionContext, address: string): Promise<DashboardState> {
  const { heard, ended } = await listen(t, new URL(address).origin);
  await ended;
  const [first, ...others] = heard as [Heard, ...Heard[]];
  const state = new DashboardState(first.data as Snapshot);
  for (const { data } of others) state.take(data as Tick);
  return state;
}

test('a profiled training is shown with its memory, its cap and its end', async (t) => {
  let state: Promise<DashboardState> | undefined;
  let metrics: Promise<string> | undefined;
  const train = ['train', model, '--data', data, '--run', join(root, 'run'), '--batch', '8', '--blocks', '1'];
  const profile = ['profile', '--cap', '1GiB', '--limit', 'watchdog', '--out', join(root, 'out'), '--dashboard', '0'];
  const { code, stderr } = await edgeshift([...profile, '--', ...train, '--epochs', '40', '--validation', '0.25'], {
    onStderr: (text) => {
      const address = /dashboard: (\S+)\n/.exec(text)?.[1];
      if (address !== undefined) state ??= follow(t, address);
      // Towards the end of the run.
      if (address !== undefined && /epoch 30:/.test(text))
        metrics ??= fetch(`${address}metrics`).then((got) => got.text());
    },
  });
  t.is(code, 0, stderr);
  t.is(stderr.match(/dashboard: /g)?.length, 1, 'the command serves nothing itself');
  const { run, status, ended, ...rest } = (await (state as Promise<DashboardState>)).snapshot();
  t.is(run.kind, 'train');
  t.deepEqual(ended, { outcome: 'finished', text: 'finished, exit code 0' });
  t.is(status.capBytes, 1024 * MIB);
  t.true((status.plan?.totalBytes ?? 0) > MIB);
  t.like(status.training, { step: 160, steps: 160, taken: 160, epoch: 40 });
  t.true(Math.max(...rest.recent.map(({ rssBytes = 0 }) => rssBytes)) > 30 * MIB);
  t.true(rest.recent.some(({ loss }) => loss !== undefined));
  t.true(rest.log.some(({ text }) => text.startsWith('planned: ')));
  const found = parseExposition(await (metrics as Promise<string>));
  t.is(found.get('edgeshift_memory_cap_bytes')?.samples[0]?.value, 1024 * MIB);
});

test('what cannot be together, and what is no port, is said before anything runs', async (t) => {
  const search = await edgeshift(['profile', '--find-cap', '--dashboard', '0', '--', 'train', model, '--data', data]);
  t.is(search.code, 2);
  t.regex(search.stderr, /--find-cap runs the command many times: leave --dashboard away/);
  const train = await edgeshift(['train', '--data', data, '--dashboard', model]);
  t.is(train.code, 2);
  t.regex(train.stderr, /--dashboard must be a port from 0 to 65535: ".*tiny\.onnx"/);
  const adapt = await edgeshift(['adapt', model, '--source', data, '--dashboard-host', '0.0.0.0']);
  t.is(adapt.code, 2);
  t.regex(adapt.stderr, /--dashboard-host needs --dashboard/);
});
