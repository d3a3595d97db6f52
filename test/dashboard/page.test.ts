/** The live page in a real browser, before real runs. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Browser, Page } from 'playwright-core';
import { DashboardServer } from '../../tools/dashboard/server.ts';
import { DashboardState } from '../../tools/dashboard/state.ts';
import { nothingYet, type Tick } from '../../tools/dashboard/tick.ts';
import { browserTests, drawnCanvases, type Look } from '../profiler/report/browser.ts';
import { adapt, driftingImages } from '../support/adapt-cli.ts';
import { tinyModel } from '../support/adapt-methods.ts';
import { edgeshift } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel as writeTinyModel } from '../support/train-runs.ts';
import { figure, holds, type OpenedLive, openLivePage } from './live-page.ts';
import { adaptRun, adaptStatus, randomTicks, seenFrame } from './ticks.ts';

const SEED = 31;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-live-'));
const phone: Look = { width: 360, colorScheme: 'light' };
const desk: Look = { width: 1280, colorScheme: 'dark' };

const testInBrowser = browserTests();
test.after.always(() => rm(root, { recursive: true, force: true }));

const connection = "document.getElementById('connection').textContent";
const headline = "document.getElementById('headline').textContent";
const withinPage = 'document.documentElement.scrollWidth <= document.documentElement.clientWidth';

/** Draws every chart, stays within its width, complains of nothing and asks nobody else. */
async function looksRight(t: ExecutionContext, { page, complaints, foreign }: OpenedLive, charts: readonly string[]) {
  await page.bringToFront();
  await page.waitForTimeout(1000);
  const canvases = await drawnCanvases(page);
  t.deepEqual(
    canvases.map(({ id }) => id),
    charts,
  );
  for (const { id, painted } of canvases) t.true(painted > 1000, `${id}: ${painted} pixels`);
  t.true(await page.evaluate(withinPage));
  t.deepEqual(complaints, []);
  t.deepEqual(foreign, []);
}

testInBrowser(
  'an adaptation, on a phone and in the dark: figures, frames, log; its end is told',
  async (t, browser) => {
    const images = await driftingImages(join(root, 'frames'), 48);
    const base = [tinyModel, '--budget', '1GiB', '--threads', '1', '--batch', '8'];
    const { child, said, ended } = adapt([...base, '--source', images, '--loops', '100000', '--dashboard', '0']);
    t.teardown(() => child.kill('SIGKILL'));
    const [, address = ''] = /dashboard: (\S+)/.exec(await said(/dashboard: \S+\n/)) ?? [];
    const pages = [await openLivePage(browser, address, phone), await openLivePage(browser, address, desk)];
    for (const { page } of pages) {
      await page.bringToFront();
      await holds(page, `${connection} === 'live' && document.querySelectorAll('#frames li').length >= 3`);
      await holds(page, `Number((${figure('Frames')} ?? '0').replaceAll(',', '')) > 100`);
    }
    for (const opened of pages) await looksRight(t, opened, ['memory', 'entropy', 'time', 'rate']);
    const [{ page }] = pages as [OpenedLive];
    await page.bringToFront();
    const pictures = await page.evaluate(
      "[...document.querySelectorAll('#frames img')].map(({ complete, naturalWidth }) => complete && naturalWidth)",
    );
    t.true(
      (pictures as number[]).every((width) => width === 16),
      `${pictures}`,
    );
    t.regex(await page.evaluate("document.getElementById('memory-now').textContent"), /Processes.*Plan/);
    t.true((await page.evaluate<number>("document.querySelectorAll('#log li').length")) > 0);
    t.true((await page.evaluate<number>("document.querySelectorAll('#reasons tr').length")) > 0);
    t.true((await page.evaluate<number>("document.querySelectorAll('#classes tr').length")) > 0);
    child.kill('SIGTERM');
    t.is((await ended).code, 0);
    for (const { page: each } of pages) {
      await each.bringToFront();
      await holds(each, `${connection} === 'the run has ended' && ${headline} === 'Interrupted'`);
      t.regex(
        await each.evaluate("document.getElementById('phase').textContent"),
        /^interrupted, \d+ frames predicted$/,
      );
    }
    // Nothing more is asked of a server that is gone.
    await page.waitForTimeout(3000);
    for (const { complaints } of pages) t.deepEqual(complaints, []);
  },
);

testInBrowser('a training: steps, loss, accuracy; its end is told', async (t, browser) => {
  const data = await toyImages(join(root, 'images'));
  const model = await writeTinyModel(join(root, 'tiny.onnx'));
  const args = ['train', model, '--data', data, '--run', join(root, 'run'), '--blocks', '1', '--batch', '8'];
  const look = async (address: string): Promise<OpenedLive> => {
    const opened = await openLivePage(browser, address, phone);
    const { page } = opened;
    await holds(page, `Number((${figure('Epoch')} ?? '0').replaceAll(',', '')) > 2`);
    await looksRight(t, opened, ['memory', 'loss', 'accuracy', 'time']);
    t.regex(await page.evaluate<string>(figure('Accuracy, validation')), /^\d+\.\d %$/);
    t.regex(await page.evaluate<string>(figure('Step')), /^[\d,]+ \/ [\d,]+$/);
    return opened;
  };
  let looked: Promise<OpenedLive> | undefined;
  const { code, stderr } = await edgeshift(
    [...args, '--epochs', '100000', '--validation', '0.25', '--dashboard', '0', '--json'],
    {
      onStderr: (text, child) => {
        const address = /dashboard: (\S+)\n/.exec(text)?.[1];
        if (looked !== undefined || address === undefined) return;
        looked = look(address).finally(() => child.kill('SIGTERM'));
        // What went wrong is thrown below.
        looked.catch(() => undefined);
      },
    },
  );
  t.is(code, 0, stderr);
  const { page, complaints } = await (looked as Promise<OpenedLive>);
  await holds(page, `${connection} === 'the run has ended' && ${headline} === 'Interrupted'`);
  t.deepEqual(complaints, []);
});

interface Served {
  readonly server: DashboardServer;
  readonly opened: OpenedLive;
}

async function served(t: ExecutionContext, browser: Browser, look: Look, token: string | null = null): Promise<Served> {
  const state = DashboardState.begin(adaptRun, nothingYet);
  const server = await DashboardServer.open({ host: '127.0.0.1', port: 0, token }, state);
  t.teardown(() => server[Symbol.asyncDispose]());
  return { server, opened: await openLivePage(browser, server.address, look) };
}

testInBrowser('texts that attack the page do nothing', async (t, browser) => {
  const { server, opened } = await served(t, browser, phone);
  const { page } = opened;
  const nasty = '</script><img src=x onerror="window.hurt=1"><script>window.hurt=1</script>';
  const [tick] = [...randomTicks(SEED, 1)] as [Tick];
  const { adaptation } = adaptStatus;
  if (!adaptation) throw new Error('no adaptation');
  server.send({
    ...tick,
    status: {
      ...{ ...adaptStatus, phase: nasty },
      adaptation: { ...adaptation, reasons: { [nasty]: 1, ['__proto__']: 2 }, classes: [[nasty, 1]] },
    },
    log: [{ id: 1, at: 1, tone: 'bad', text: nasty, count: 1 }],
    frames: [seenFrame(1, { name: nasty, class: nasty, reason: nasty }), seenFrame(2, { image: `"><script>${nasty}` })],
  });
  await holds(page, "document.querySelectorAll('#frames li').length === 2");
  t.is(await page.evaluate('window.hurt'), undefined);
  t.is(await page.evaluate("document.querySelectorAll('img').length"), 2);
  t.is(await page.evaluate("document.querySelector('#log li span').textContent"), nasty);
  t.true(await page.evaluate(withinPage));
  t.deepEqual(opened.foreign, []);
});

testInBrowser('a lost connection is told, and the run that comes back is shown anew', async (t, browser) => {
  const { server, opened } = await served(t, browser, desk);
  const { page } = opened;
  const ticks = [...randomTicks(SEED, 60)] as readonly Tick[];
  for (const tick of ticks) server.send(tick);
  await holds(page, `${connection} === 'live' && document.querySelectorAll('#frames li').length === 12`);
  const port = Number(new URL(server.address).port);
  await server[Symbol.asyncDispose]();
  await holds(page, `${connection}.startsWith('connection lost')`);
  t.is(await page.evaluate("document.querySelectorAll('#frames li').length"), 12, 'what was heard stays');
  const state = DashboardState.begin(adaptRun, adaptStatus);
  const again = await DashboardServer.open({ host: '127.0.0.1', port, token: null }, state);
  t.teardown(() => again[Symbol.asyncDispose]());
  await holds(page, `${connection} === 'live' && document.querySelectorAll('#frames li').length === 0`);
  again.send(ticks[0] as Tick);
  await holds(page, `${figure('Frames')} === '640'`);
});

testInBrowser('the whole run or the last minutes, by keyboard; colours follow the scheme', async (t, browser) => {
  const { server, opened } = await served(t, browser, desk);
  const { page, complaints } = opened;
  for (const tick of randomTicks(SEED, 1000)) server.send(tick);
  await holds(page, `${connection} === 'live' && ${figure('Running')} === '8:20'`);
  const chart = () => page.evaluate<string>("document.getElementById('memory').toDataURL()");
  await page.waitForTimeout(600);
  const recent = await chart();
  await page.focus('input[value=recent]');
  await page.keyboard.press('ArrowRight');
  t.is(await page.evaluate("document.querySelector('input[name=range]:checked').value"), 'whole');
  const whole = await chart();
  t.not(whole, recent);
  await page.emulateMedia({ colorScheme: 'light' });
  await t.notThrowsAsync(page.waitForFunction(`document.getElementById('memory').toDataURL() !== '${whole}'`));
  t.deepEqual(complaints, []);
});

testInBrowser('whoever does not see the page is told the same', async (t, browser) => {
  const { server, opened } = await served(t, browser, phone);
  const { page } = opened;
  for (const tick of randomTicks(SEED, 20)) server.send(tick);
  await holds(page, "document.querySelectorAll('#log li').length > 0");
  const faults = await page.evaluate(`[
    ...[...document.querySelectorAll('canvas, [role=region], [role=log]')].filter((each) => {
      const named = (each.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent);
      return !each.getAttribute('aria-label') && !named.every((text) => text);
    }).map((each) => 'no name: ' + each.outerHTML.slice(0, 80)),
    ...[...document.querySelectorAll('[id]')].filter(({ id }, _, all) => document.querySelectorAll('#' + id).length > 1)
      .map(({ id }) => 'twice: ' + id),
    ...[...document.querySelectorAll('img:not([alt])')].map(() => 'picture without a text'),
    ...[...document.querySelectorAll('tbody th:not([scope])')].map(() => 'head without a scope'),
    ...(document.querySelectorAll('h1').length === 1 ? [] : ['not one h1']),
    ...(document.querySelector('[role=status]') ? [] : ['no status']),
  ]`);
  t.deepEqual(faults, []);
  t.is(await page.evaluate('document.documentElement.lang'), 'en');
});

testInBrowser('the token goes out of the address, and the page goes on with its cookie', async (t, browser) => {
  const { server, opened } = await served(t, browser, phone, 'a token & more');
  const { page, context, complaints } = opened;
  for (const tick of randomTicks(SEED, 3)) server.send(tick);
  await holds(page, `${connection} === 'live'`);
  t.is(page.url(), `${new URL(server.address).origin}/`);
  t.is(await page.evaluate('document.cookie'), '', 'no script reads it');
  t.deepEqual(complaints, []);
  const stranger: Page = await (await browser.newContext()).newPage();
  t.is((await stranger.goto(page.url()))?.status(), 401);
  await context.close();
});
