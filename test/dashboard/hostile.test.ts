/** Clients that are too many, too slow, or mean harm: what they cost the server and the others. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import type { Tick } from '../../tools/dashboard/tick.ts';
import { parseExposition } from './exposition.ts';
import { ask, listen, open, rawClient, until } from './server-clients.ts';
import { randomTicks } from './ticks.ts';

const SEED = 5;

test('more pages than there is room for are told so; a page that closes makes room', async (t) => {
  const { origin } = await open(t, { limits: { mostPages: 2 } });
  const [first] = [await listen(t, origin), await listen(t, origin)];
  const refused = await ask(origin, '/events');
  t.is(refused.status, 503);
  t.is(refused.headers['retry-after'], '1');
  t.is((await ask(origin, '/')).status, 200, 'the page itself still opens');
  first.close();
  const metrics = async () => parseExposition((await ask(origin, '/metrics')).body);
  let pages = 2;
  for (let n = 0; n < 200 && pages === 2; n++) {
    await delay(10);
    pages = (await metrics()).get('edgeshift_dashboard_pages')?.samples[0]?.value ?? 0;
  }
  t.is(pages, 1);
  const third = await listen(t, origin);
  await until(() => third.heard.length > 0);
  t.is(third.heard[0]?.event, 'snapshot');
});

/** A tick of about 60 KB, so that what the system buffers is soon full. */
const largeTicks = (): readonly Tick[] =>
  [...randomTicks(SEED, 50)].map((tick) => ({
    ...tick,
    log: [{ id: tick.point.at, at: tick.point.at, tone: 'plain', text: 'x'.repeat(60_000), count: 1 }],
  }));

test('a page that reads nothing leaves ticks out and keeps none of them; once it reads it is sent a snapshot', async (t) => {
  const { server, origin } = await open(t, { limits: { patienceMillis: 60_000 } });
  const slow = await rawClient(t, origin, `GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  const quick = await listen(t, origin);
  await until(() => quick.heard.length === 1);
  globalThis.gc?.();
  const before = process.memoryUsage();
  const ticks = largeTicks();
  // The kernel takes some MB of each connection.
  for (let n = 0; n < 400; n++) {
    server.send(ticks[n % ticks.length] as Tick);
    await until(() => quick.heard.length === n + 2);
    quick.heard.length = Math.min(quick.heard.length, n + 2);
  }
  const metrics = parseExposition((await ask(origin, '/metrics')).body);
  const skipped = metrics.get('edgeshift_dashboard_skipped_ticks_total')?.samples[0]?.value ?? 0;
  t.true(skipped > 200, `${skipped} ticks left out`);
  quick.close();
  quick.heard.length = 0;
  globalThis.gc?.();
  const after = process.memoryUsage();
  const grown = after.heapUsed + after.external - before.heapUsed - before.external;
  t.true(grown < 20 * 2 ** 20, `${grown} bytes more, of 24 MB that were sent`);
  let text = '';
  slow.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  slow.resume();
  await until(() => {
    server.send(ticks[0] as Tick);
    return (text.match(/event: snapshot/g) ?? []).length >= 2;
  });
  t.is((text.match(/event: snapshot/g) ?? []).length, 2);
});

test('a page that reads nothing for too long is cut off', async (t) => {
  const { server, origin } = await open(t, { limits: { patienceMillis: 100 } });
  const slow = await rawClient(t, origin, `GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  const ticks = largeTicks();
  const pages = async () =>
    parseExposition((await ask(origin, '/metrics')).body).get('edgeshift_dashboard_pages')?.samples[0]?.value;
  let open_ = await pages();
  for (let n = 0; n < 2000 && open_ !== 0; n++) {
    server.send(ticks[n % ticks.length] as Tick);
    if (n % 100 === 0) open_ = await pages();
    await delay(1);
  }
  t.is(open_, 0);
  slow.destroy();
});

test('requests that never end, or are none, are cut off and cost the others nothing', async (t) => {
  const { origin } = await open(t);
  const slow = await Promise.all([
    rawClient(t, origin, 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: '),
    rawClient(t, origin, `GET / HTTP/1.1\r\nX-Long: ${'x'.repeat(2 ** 20)}\r\n\r\n`),
    rawClient(t, origin, '\x16\x03\x01\x02\x00'),
    rawClient(t, origin, 'POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\nxx'),
  ]);
  t.is((await ask(origin, '/metrics')).status, 200);
  const closed = slow.map((socket) => {
    socket.resume();
    return socket.closed ? Promise.resolve() : once(socket, 'close');
  });
  await Promise.race([Promise.all(closed), delay(20_000).then(() => t.fail('still open after 20 s'))]);
  t.is((await ask(origin, '/metrics')).status, 200);
});

test('more connections than there is room for are closed', async (t) => {
  const { origin } = await open(t);
  const sockets = await Promise.all(Array.from({ length: 60 }, () => rawClient(t, origin, '')));
  for (const socket of sockets) socket.resume();
  // Those that say nothing are cut off later, after some seconds.
  await until(() => sockets.filter(({ closed }) => closed).length >= 28);
  t.true(sockets.filter(({ closed }) => !closed).length <= 32);
  for (const socket of sockets) socket.destroy();
  await delay(100);
  t.is((await ask(origin, '/metrics')).status, 200);
});

test('a page that reads nothing does not keep the server from closing', async (t) => {
  const { server, origin } = await open(t);
  await rawClient(t, origin, 'GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  await delay(50);
  const began = performance.now();
  await server[Symbol.asyncDispose]();
  t.true(performance.now() - began < 5000);
});
