import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import type { Frame } from '../../runtime/adapt/streams/frame.ts';
import { type Prediction, PredictionLines, predictionOf } from '../../runtime/adapt/streams/prediction-lines.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-lines-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const frame = (index: number): Frame => ({
  index,
  name: `${index}.jpg`,
  arrival: { epochMillis: Date.UTC(2024, 1, 3, 4, 5, 6, 7), clockMillis: performance.now() - 20 },
  pixels: new Uint8Array(3),
});
const outcome = { updated: true, reason: 'entropy' };
const named = { classes: ['cat', 'dog', 'owl'], probabilities: true };

test('a prediction tells class, probabilities and entropy of its logits', (t) => {
  const line = predictionOf(frame(7), Float32Array.of(Math.log(1), Math.log(7), Math.log(2)), outcome, named);
  t.deepEqual(Object.keys(line), [
    'frame',
    'name',
    'time',
    'class',
    'probabilities',
    'entropy',
    'updated',
    'reason',
    'latencyMillis',
  ]);
  t.is(line.frame, 7);
  t.is(line.time, '2024-02-03T04:05:06.007Z');
  t.is(line.class, 'dog');
  t.deepEqual(line.probabilities, [0.1, 0.7, 0.2]);
  t.is(line.entropy, 0.8018, '-(0.1 ln 0.1 + 0.7 ln 0.7 + 0.2 ln 0.2)');
  t.true(line.latencyMillis >= 20 && line.latencyMillis < 5000);
});

test('numbers where names are not known, and no probabilities unless asked for', (t) => {
  const logits = Float32Array.of(3e38, -3e38, 0);
  const line = predictionOf(frame(0), logits, outcome, { classes: null, probabilities: false });
  t.is(line.class, 0);
  t.is(line.entropy, 0);
  t.false('probabilities' in line);
});

test('logits that are not finite are told as such', (t) => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const line = predictionOf(frame(0), Float32Array.of(1, bad), outcome, named);
    t.is(line.class, null);
    t.is(line.entropy, null);
    t.false('probabilities' in line);
  }
});

test('a clock that was set meanwhile is no latency', (t) => {
  const arrival = { epochMillis: Date.now() + 60_000, clockMillis: performance.now() };
  const { latencyMillis } = predictionOf({ ...frame(0), arrival }, Float32Array.of(1, 2), outcome, named);
  t.true(latencyMillis >= 0 && latencyMillis < 5000);
});

const prediction = (index: number): Prediction =>
  predictionOf(frame(index), Float32Array.of(index, 1, 2), outcome, named);

test('lines reach their file whole and in order', async (t) => {
  const path = join(root, 'lines.jsonl');
  const output = createWriteStream(path);
  await using lines = new PredictionLines(output);
  for (let i = 0; i < 1000; i += 1) await lines.write(prediction(i));
  await lines.flush();
  const written = (await readFile(path, 'utf8')).trimEnd().split('\n');
  t.deepEqual(
    written.map((line) => JSON.parse(line).frame),
    [...Array(1000).keys()],
  );
  t.deepEqual(lines.counts(), { written: 1000, lost: 0 });
  output.destroy();
});

test('a slow reader makes the writer wait', async (t) => {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const output = connect(port, '127.0.0.1');
  const [reader] = await once(server, 'connection');
  await using lines = new PredictionLines(output);
  let written = 0;
  const count = 60_000;
  const writing = (async () => {
    for (; written < count; written += 1) await lines.write(prediction(written));
  })();
  await delay(500);
  t.true(written < count, `${written} lines were written to a reader that takes none`);
  t.true(output.writableLength < 2 ** 20, `${output.writableLength} bytes wait`);
  let received = 0;
  reader.on('data', (chunk: Buffer) => {
    for (const byte of chunk) if (byte === 10) received += 1;
  });
  reader.resume();
  await writing;
  await lines.flush();
  output.end();
  await once(reader, 'end');
  t.is(received, count);
  server.close();
});

test('a reader that goes away ends the lines, not the predictions', async (t) => {
  const reader = spawn('head', ['-n', '1'], { stdio: ['pipe', 'pipe', 'ignore'] });
  await using lines = new PredictionLines(reader.stdin);
  const count = 5000;
  for (let i = 0; i < count; i += 1) await lines.write(prediction(i));
  if (reader.exitCode === null) await once(reader, 'exit');
  await lines.write(prediction(count));
  for (let i = 0; i < 200 && !lines.failure; i += 1) await delay(10);
  t.is((lines.failure as NodeJS.ErrnoException | null)?.code, 'EPIPE');
  await lines.write(prediction(0));
  const { written, lost } = lines.counts();
  t.is(written + lost, count + 2);
  t.true(lost > 0);
});

(process.platform === 'linux' ? test : test.skip)('a full disk is told and counted', async (t) => {
  const full = await open('/dev/full', 'w');
  await using lines = new PredictionLines(full.createWriteStream());
  for (let i = 0; i < 3; i += 1) {
    await lines.write(prediction(i));
    await delay(20);
  }
  t.is((lines.failure as NodeJS.ErrnoException | null)?.code, 'ENOSPC');
  t.deepEqual(lines.counts(), { written: 0, lost: 3 });
});
