/** Records read back from JSON: what was written, or an error that names file and field. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { DataError } from '../../runtime/errors.ts';
import { parseRecord, readRecord } from '../../tools/profiler/record-schema.ts';
import { adaptRun, emptyRun, finishedRun, outOfMemory } from './report/example-records.ts';

const SEED = 13;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-record-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

test('a record comes back as it was', async (t) => {
  for (const [at, record] of [finishedRun(SEED, 5), outOfMemory(SEED), adaptRun(SEED), emptyRun()].entries()) {
    const path = join(root, `${at}.json`);
    await writeFile(path, JSON.stringify(record));
    t.deepEqual(await readRecord(path), record);
  }
});

test('every fault is named with file and field', (t) => {
  const record = finishedRun(SEED, 5);
  const broken = {
    ...record,
    version: 2,
    limit: { ...record.limit, kind: 'cgroup v3' },
    planned: { ...record.planned, bytes: { ...record.planned?.bytes, saved: -1 } },
    samples: record.samples.map((sample, at) => (at === 4 ? { ...sample, heapBytes: undefined } : sample)),
    energy: { ...record.energy, watts: 3 },
  };
  const error = t.throws(() => parseRecord(JSON.stringify(broken), 'run/record.json'), { instanceOf: DataError });
  const { message = '' } = error ?? {};
  t.regex(message, /^run\/record\.json: not a profile record of version 1, 5 faults\n/);
  for (const field of ['version', 'limit.kind', 'planned.bytes.saved', 'samples.4.heapBytes', 'energy']) {
    t.true(message.includes(`\n  ${field}: `), `${field} in\n${message}`);
  }
});

test('samples and marks out of order are told with both times', (t) => {
  const record = finishedRun(SEED, 5);
  const samples = record.samples.map((sample, at) => (at === 7 ? { ...sample, at: 10 } : sample));
  t.throws(() => parseRecord(JSON.stringify({ ...record, samples }), 'a.json'), {
    message: /samples\.7\.at: expected the order of time, but 10 follows 300/,
  });
});

test('many faults are counted, and the first ten told', (t) => {
  const record = finishedRun(SEED, 5);
  const samples = record.samples.map((sample) => ({ ...sample, rssBytes: 'many' }));
  t.throws(() => parseRecord(JSON.stringify({ ...record, samples }), 'a.json'), {
    message: /100 faults\n(?: {2}samples\.\d\.rssBytes: .*\n){10} {2}and 90 more\n/,
  });
});

test('no JSON, no file, another file', async (t) => {
  t.throws(() => parseRecord('{"format": ', 'cut.json'), { message: /^cut\.json: expected JSON but / });
  t.throws(() => parseRecord('[]', 'list.json'), { message: /^list\.json: .*\n {2}\(whole file\): / });
  await t.throwsAsync(readRecord(join(root, 'absent.json')), {
    instanceOf: DataError,
    message: /absent\.json: cannot read the profile record \(ENOENT/,
  });
});
