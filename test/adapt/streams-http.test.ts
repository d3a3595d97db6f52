import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { FrameQueue, fillQueue } from '../../runtime/adapt/streams/frame-queue.ts';
import type { FrameSource } from '../../runtime/adapt/streams/frame-source.ts';
import type { HttpOptions } from '../../runtime/adapt/streams/http-source.ts';
import { LateLabels } from '../../runtime/adapt/streams/late-labels.ts';
import { openSource } from '../../runtime/adapt/streams/open-source.ts';
import { predictionOf } from '../../runtime/adapt/streams/prediction-lines.ts';
import { DataError, UsageError } from '../../runtime/errors.ts';
import { noiseImage } from '../support/noise-images.ts';

const imageSize = 8;
const classes = ['dark', 'light'];
const plain = (level: number) => noiseImage(16, 16, 1).linear(0, level);
const dark = await plain(20).png().toBuffer();
const light = await plain(230).jpeg().toBuffer();
const noisy = await noiseImage(60, 40, 2).jpeg().toBuffer();

const openHttp = (options: Partial<HttpOptions> = {}) => openSource({ kind: 'http', imageSize, ...options });

/** Predicts frames by their brightness until the source ends, through a queue, as a program would. */
async function serve(source: FrameSource, labels: LateLabels | null = null, handleMillis = 0): Promise<FrameQueue> {
  const queue = new FrameQueue({
    policy: 'drop-oldest',
    capacity: 2,
    batch: 1,
    onDropped: (frame) => source.replies?.refuse(frame, 'dropped'),
  });
  const filled = fillQueue(queue, source);
  for (let batch = await queue.take(1, 0); batch; batch = await queue.take(1, 0)) {
    await delay(handleMillis);
    for (const frame of batch.frames) {
      const logits = Float32Array.of(128, frame.pixels[0] as number);
      labels?.remember(frame);
      source.replies?.answer(
        predictionOf(frame, logits, { updated: false, reason: 'none' }, { classes, probabilities: true }),
      );
    }
  }
  await filled;
  return queue;
}

const post = (source: FrameSource, path: string, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  fetch(source.name + path, { method: 'POST', body, headers });

test('frames are answered with their predictions', async (t) => {
  await using source = await openHttp();
  const serving = serve(source);
  const one = await post(source, '/frame?name=night.png', dark, { 'content-type': 'image/png' });
  t.is(one.status, 200);
  t.like(await one.json(), { frame: 0, name: 'night.png', class: 'dark', updated: false, reason: 'none' });
  const other = await post(source, '/frame', light);
  t.like(await other.json(), { frame: 1, name: 'http:1', class: 'light', probabilities: [0, 1] });
  await source[Symbol.asyncDispose]();
  await serving;
});

test('labels are joined with frames that were posted', async (t) => {
  const labels = new LateLabels({ classCount: 2, classes, imageSize, keep: 1 });
  await using source = await openHttp({
    onLabel: (message) => labels.add(message),
    stats: () => ({ labels: labels.counts() }),
  });
  const serving = serve(source, labels);
  for (const image of [dark, light]) t.is((await post(source, '/frame', image)).status, 200);
  const label = async (text: string) => {
    const response = await post(source, '/label', text);
    return [response.status, await response.json()];
  };
  t.deepEqual(await label('{"frame": 1, "class": "light"}'), [200, { status: 'joined' }]);
  t.deepEqual(await label('{"frame": 0, "class": 0}'), [404, { status: 'forgotten' }]);
  t.deepEqual(await label('{"frame": 5, "class": 0}'), [409, { status: 'early' }]);
  t.deepEqual(await label('{"frame": 1'), [400, { error: 'the body is not JSON' }]);
  t.is((await label('{"frame": 1, "class": "red"}'))[0], 400);
  t.deepEqual(
    labels.take().map((taken) => taken.label),
    [1],
  );
  const stats = await (await fetch(`${source.name}/stats`)).json();
  t.like(stats, { seen: 2, skipped: 0, pending: 0, labels: { used: 1, early: 1, forgotten: 1, invalid: 1 } });
  await source[Symbol.asyncDispose]();
  await serving;
});

test('what cannot be served has its status, and stops nothing', async (t) => {
  await using source = await openHttp({ limitBytes: 5000 });
  const serving = serve(source);
  const status = async (path: string, body: string | Uint8Array, headers = {}) =>
    (await post(source, path, body, headers)).status;
  t.is(await status('/frame', Buffer.alloc(0)), 400);
  t.is(await status('/frame', noisy.subarray(0, 800)), 400);
  t.is(await status('/frame', new Uint8Array(5001)), 413);
  t.is(await status('/frame', Buffer.from('text')), 415);
  t.is(await status('/frame', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')), 415);
  t.is(await status('/frame', dark, { 'content-type': 'text/html' }), 415);
  t.is(await status('/label', '{}'), 404, 'nobody takes labels');
  t.is(await status('/other', ''), 404);
  const get = await fetch(`${source.name}/frame`);
  t.deepEqual([get.status, get.headers.get('allow')], [405, 'POST']);
  t.is(await status('/frame', light), 200);
  const { seen, skipped, reasons } = source.counts();
  t.deepEqual([seen, skipped], [4, 3]);
  t.is(reasons['not a JPEG, PNG or WebP image'], 2);
  await source[Symbol.asyncDispose]();
  await serving;
});

test('a body without a stated length is bounded too', async (t) => {
  await using source = await openHttp({ limitBytes: 5000 });
  const { port } = new URL(source.name);
  const posting = request({ port, path: '/frame', method: 'POST' });
  const answered = once(posting, 'response');
  for (let i = 0; i < 6; i += 1) posting.write(Buffer.alloc(1000));
  const [response] = await answered;
  t.is(response.statusCode, 413);
  posting.end();
  await source[Symbol.asyncDispose]();
});

test('frames that come too fast are refused, and counts add up', async (t) => {
  await using source = await openHttp({ mostPending: 5 });
  const serving = serve(source, null, 20);
  const statuses = await Promise.all(
    Array.from({ length: 20 }, async () => (await post(source, '/frame', dark)).status),
  );
  const answered = statuses.filter((status) => status === 200).length;
  t.is(statuses.filter((status) => status === 503).length, 20 - answered);
  t.true(answered > 0 && answered < 20);
  await source[Symbol.asyncDispose]();
  const { arrived, handled, dropped, waiting } = (await serving).counts();
  t.is(handled, answered);
  t.deepEqual([arrived, waiting], [handled + dropped, 0]);
});

test('a prediction that never comes is told to its client', async (t) => {
  await using source = await openHttp({ timeoutMillis: 1500 });
  const response = await post(source, '/frame', dark);
  t.is(response.status, 503);
  t.is(response.headers.get('retry-after'), '1');
  await source[Symbol.asyncDispose]();
});

test('closing answers those who wait', async (t) => {
  await using source = await openHttp();
  const waiting = post(source, '/frame', dark);
  while (source.counts().seen === 0) await delay(5);
  await delay(50);
  await source[Symbol.asyncDispose]();
  t.is((await waiting).status, 503);
  await t.throwsAsync(post(source, '/frame', dark));
});

test('slow and hostile clients are cut off and delay nobody', async (t) => {
  await using source = await openHttp({ timeoutMillis: 1500 });
  const serving = serve(source);
  const { port } = new URL(source.name);
  const opened = async (text: string) => {
    const socket = connect(Number(port), '127.0.0.1').on('error', () => {});
    socket.write(text);
    return { socket, closed: once(socket.resume(), 'close') };
  };
  const hostile = await Promise.all([
    opened('POST /frame HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nabc'),
    opened('POST /frame HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: '),
    opened('\0\x01\x02 not http at all\r\n\r\n'),
    opened(`POST /frame HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ${'x'.repeat(100_000)}\r\n\r\n`),
    opened('POST /frame HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n'),
    opened('POST //[ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx'),
  ]);
  const gone = await opened(
    `POST /frame HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${dark.length}\r\n\r\n${dark.toString('latin1').slice(0, 20)}`,
  );
  gone.socket.destroy();
  t.is((await post(source, '/frame', dark)).status, 200);
  await Promise.all(hostile.map(({ closed }) => closed));
  t.is((await post(source, '/frame', dark)).status, 200);
  await source[Symbol.asyncDispose]();
  await serving;
});

test('other machines need a token, and web pages of others are refused', async (t) => {
  await t.throwsAsync(openHttp({ host: '0.0.0.0' }), { instanceOf: UsageError, message: /needs a token/ });
  await t.throwsAsync(openHttp({ host: '0.0.0.0', token: '' }), { instanceOf: UsageError });
  await using guarded = await openHttp({ token: 'secret' });
  const serving = serve(guarded);
  for (const [authorization, expected] of [
    ['', 401],
    ['Bearer wrong!', 401],
    ['Bearer secret', 200],
  ] as const) {
    t.is((await post(guarded, '/frame', dark, { authorization })).status, expected, authorization);
  }
  await guarded[Symbol.asyncDispose]();
  await serving;
  await using open = await openHttp();
  t.is((await post(open, '/frame', dark, { origin: 'https://example.com' })).status, 403);
  const { port } = new URL(open.name);
  const rebound = request({ port, path: '/stats', headers: { host: 'example.com' } }).end();
  const [response] = await once(rebound, 'response');
  t.is(response.statusCode, 403);
  t.is((await fetch(`${open.name}/stats`, { headers: { origin: 'http://localhost:3000' } })).status, 200);
  await open[Symbol.asyncDispose]();
});

test('a port that is taken is an error', async (t) => {
  await using source = await openHttp();
  const port = Number(new URL(source.name).port);
  await t.throwsAsync(openHttp({ port }), { instanceOf: DataError, message: /cannot listen on 127.0.0.1/ });
  await source[Symbol.asyncDispose]();
});
