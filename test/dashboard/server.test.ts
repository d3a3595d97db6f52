/** The server: who may ask, and what it answers. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import test from 'ava';
import { DataError } from '../../runtime/errors.ts';
import { openPage } from '../../tools/dashboard/open-page.ts';
import { DEFAULT_PORT } from '../../tools/dashboard/options.ts';
import { DashboardState } from '../../tools/dashboard/state.ts';
import type { Snapshot, Tick } from '../../tools/dashboard/tick.ts';
import { parseExposition } from './exposition.ts';
import { ask, type Heard, listen, open, until } from './server-clients.ts';
import { adaptRun, adaptStatus, randomTicks } from './ticks.ts';

const SEED = 5;

test('the page is one file with a policy that lets it load nothing', async (t) => {
  const { origin } = await open(t);
  const { status, headers, body } = await ask(origin, '/');
  t.is(status, 200);
  t.is(headers['content-type'], 'text/html; charset=utf-8');
  const policy = String(headers['content-security-policy']);
  for (const part of ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", 'img-src data:']) {
    t.true(policy.includes(part), part);
  }
  t.notRegex(policy, /unsafe|https?:|\*/);
  t.is(headers['x-content-type-options'], 'nosniff');
  t.is(headers['cache-control'], 'no-store');
  t.is(headers['access-control-allow-origin'], undefined);
  t.notRegex(body, /(src|href)="(?!data:)/);
});

test('a page hears a snapshot, then every tick in order; one that comes late hears the same', async (t) => {
  const { server, state, origin } = await open(t);
  const ticks = [...randomTicks(SEED, 40)] as readonly Tick[];
  const early = await listen(t, origin);
  t.is(early.response.headers.get('content-type'), 'text/event-stream');
  for (const tick of ticks.slice(0, 20)) server.send(tick);
  const late = await listen(t, origin);
  for (const tick of ticks.slice(20)) server.send(tick);
  await until(() => early.heard.length === 41 && late.heard.length === 21);
  t.deepEqual(
    early.heard.map(({ event, id }) => [event, id]),
    [['snapshot', 0], ...ticks.map((_, n) => ['tick', n + 1])],
  );
  t.deepEqual(
    early.heard.slice(1).map(({ data }) => data),
    JSON.parse(JSON.stringify(ticks)) as Tick[],
  );
  const known = new DashboardState(late.heard[0]?.data as Snapshot);
  for (const { data } of late.heard.slice(1)) known.take(data as Tick);
  t.deepEqual(known.snapshot().recent, state.snapshot().recent);
  t.deepEqual(known.snapshot().log, state.snapshot().log);
});

test('a page that asks again after a lost connection is sent everything, whatever id it had last', async (t) => {
  const { server, origin } = await open(t);
  for (const tick of randomTicks(SEED, 5)) server.send(tick);
  const again = await listen(t, origin, { 'Last-Event-ID': '3' });
  await until(() => again.heard.length > 0);
  const [first] = again.heard as [Heard];
  t.like(first, { event: 'snapshot', id: 5 });
  t.is((first.data as Snapshot).recent.length, 5);
});

test('metrics, read by a strict parser', async (t) => {
  const { server, origin } = await open(t);
  const { heard } = await listen(t, origin);
  await until(() => heard.length > 0);
  for (const tick of randomTicks(SEED, 3)) server.send({ ...tick, status: adaptStatus });
  const { status, headers, body } = await ask(origin, '/metrics');
  t.is(status, 200);
  t.is(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  const found = parseExposition(body);
  t.is(found.get('edgeshift_frames_predicted_total')?.samples[0]?.value, 640);
  t.is(found.get('edgeshift_dashboard_pages')?.samples[0]?.value, 1);
});

test('other paths and methods are refused', async (t) => {
  const { origin } = await open(t);
  for (const path of ['/x', '/events/', '/../../etc/passwd', '/metrics.json', '/favicon.ico']) {
    t.is((await ask(origin, path)).status, 404, path);
  }
  for (const path of ['/', '/events', '/metrics']) {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const { status, headers } = await ask(origin, path, {}, method);
      t.is(status, 405, `${method} ${path}`);
      t.is(headers.allow, 'GET');
    }
  }
  t.is((await ask(origin, '//')).status, 400);
});

test('without a token, names that were made to point here and pages of others are refused', async (t) => {
  const { origin } = await open(t);
  const { port } = new URL(origin);
  for (const path of ['/', '/events', '/metrics']) {
    for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example']) {
      t.is((await ask(origin, path, { host })).status, 403, `${path} ${host}`);
    }
    t.is((await ask(origin, path, { origin: 'https://evil.example' })).status, 403);
  }
  t.is((await ask(origin, '/', { host: `localhost:${port}` })).status, 200);
});

test('with a token, nobody is served without it, and the cookie stands for it', async (t) => {
  const { server, origin } = await open(t, { token: 'a token' });
  for (const path of ['/', '/events', '/metrics', '/x', '/events?token=a%20token', '/metrics?token=a%20token']) {
    t.is((await ask(origin, path)).status, 401, path);
  }
  for (const path of ['/?token=', '/?token=a', '/?token=a%20tokeN', `/?token=${'a'.repeat(5000)}`]) {
    t.is((await ask(origin, path)).status, 401, path);
  }
  t.is((await ask(origin, '/metrics', { authorization: 'Bearer a token' })).status, 200);
  t.is((await ask(origin, '/metrics', { authorization: 'Bearer another' })).status, 401);
  const { pathname, search } = new URL(server.address);
  const entered = await ask(origin, pathname + search);
  t.is(entered.status, 303);
  t.is(entered.headers.location, '/');
  const [set = ''] = entered.headers['set-cookie'] as string[];
  t.regex(set, /; HttpOnly; SameSite=Strict; Path=\/$/);
  const [cookie = ''] = set.split(';');
  t.is((await ask(origin, '/', { cookie: `other=1; ${cookie}` })).status, 200);
  t.is((await ask(origin, '/metrics', { cookie })).status, 200);
  for (const wrong of [`${cookie}x`, cookie.replace(/=.*/, '=%'), 'edgeshift-0=a%20token']) {
    t.is((await ask(origin, '/metrics', { cookie: wrong })).status, 401, wrong);
  }
});

test('the end reaches the pages before the server closes', async (t) => {
  const { server, origin } = await open(t);
  const { heard, ended } = await listen(t, origin);
  await until(() => heard.length > 0);
  const [tick] = [...randomTicks(SEED, 1)] as [Tick];
  server.send({ ...tick, ended: { outcome: 'finished', text: 'done' } });
  await server[Symbol.asyncDispose]();
  await ended;
  t.like(heard.at(-1)?.data, { ended: { outcome: 'finished' } });
  await t.throwsAsync(ask(origin, '/'), { code: 'ECONNREFUSED' });
});

test('a port that is taken is an error where it was asked for, and another one where it was not', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const options = { host: '127.0.0.1', token: null };
  await t.throwsAsync(
    openPage({ ...options, port }, adaptRun, () => undefined),
    {
      ...{ instanceOf: DataError, message: new RegExp(`cannot listen on 127.0.0.1, port ${port} .*EADDRINUSE`) },
    },
  );
  const said: string[] = [];
  const first = await openPage({ ...options, port: null }, adaptRun, (text) => said.push(text));
  const second = await openPage({ ...options, port: null }, adaptRun, (text) => said.push(text));
  t.teardown(() => Promise.all([first[Symbol.asyncDispose](), second[Symbol.asyncDispose]()]).then(() => undefined));
  const ports = said.map((text) => Number(/^dashboard: http:\/\/127\.0\.0\.1:(\d+)\/$/.exec(text)?.[1]));
  t.not(ports[0], ports[1]);
  t.true(ports.every((each) => each > 0));
  t.not(ports[1], DEFAULT_PORT);
});
