/** Reports in a real browser: drawn, quiet, alone, and readable on a phone and in the dark. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Browser } from 'playwright-core';
import { comparisonHtml } from '../../../tools/profiler/report/comparison.ts';
import { reportHtml } from '../../../tools/profiler/report/report.ts';
import { browserTests, drawnCanvases, type Look, openHtml } from './browser.ts';
import { adaptRun, emptyRun, finishedRun, hostileRun, outOfMemory } from './example-records.ts';

const SEED = 14;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-browser-'));
const [finished, killed, adapted, empty] = [finishedRun(SEED), outOfMemory(SEED), adaptRun(SEED), emptyRun()];
const phone: Look = { width: 360, colorScheme: 'light' };
const desk: Look = { width: 1280, colorScheme: 'dark' };

const testInBrowser = browserTests();
test.after.always(() => rm(root, { recursive: true, force: true }));

const withinPage = 'document.documentElement.scrollWidth <= document.documentElement.clientWidth';

/** Opens a page; whatever its content, it draws every chart, stays within its width, complains of nothing and loads nothing. */
async function looksRight(
  t: ExecutionContext,
  browser: Browser,
  html: string,
  charts: number,
  look: Look,
): Promise<void> {
  const { page, complaints, requests } = await openHtml(browser, root, html, look);
  const canvases = await drawnCanvases(page);
  t.is(canvases.length, charts);
  for (const { id, painted, colours } of canvases) {
    t.true(painted > 1000 && colours >= 3, `${id}: ${painted} pixels, ${colours} colours`);
  }
  t.true(await page.evaluate(withinPage), `wider than ${look.width} px`);
  t.deepEqual(complaints, []);
  t.deepEqual(requests, []);
  await page.close();
}

for (const look of [phone, desk]) {
  const at = `${look.width} px, ${look.colorScheme}`;
  testInBrowser(`${at}: a run that finished`, (t, browser) => looksRight(t, browser, reportHtml(finished), 11, look));
  testInBrowser(`${at}: out of memory`, (t, browser) => looksRight(t, browser, reportHtml(killed), 8, look));
  testInBrowser(`${at}: an adaptation without a cap`, (t, browser) =>
    looksRight(t, browser, reportHtml(adapted), 4, look),
  );
  testInBrowser(`${at}: a command that failed at once`, (t, browser) =>
    looksRight(t, browser, reportHtml(empty), 0, look),
  );
  testInBrowser(`${at}: two runs side by side`, (t, browser) =>
    looksRight(t, browser, comparisonHtml(finished, killed), 5, look),
  );
  testInBrowser(`${at}: a run beside one without anything`, (t, browser) =>
    looksRight(t, browser, comparisonHtml(empty, finished), 4, look),
  );
}

testInBrowser('texts that attack the page do nothing', async (t, browser) => {
  for (const html of [reportHtml(hostileRun(SEED)), comparisonHtml(hostileRun(SEED), finished)]) {
    const { page, complaints, requests } = await openHtml(browser, root, html, phone);
    t.is(await page.evaluate('window.hurt'), undefined);
    t.is(await page.evaluate("document.querySelectorAll('img').length"), 0);
    t.true((await drawnCanvases(page)).every(({ painted }) => painted > 1000));
    t.true(await page.evaluate(withinPage));
    t.deepEqual(complaints, []);
    t.deepEqual(requests, []);
    await page.close();
  }
});

testInBrowser('a script that got into the page all the same would not run', async (t, browser) => {
  const html = reportHtml(empty).replace(
    '</main>',
    '<script>window.hurt = 1</script><img src="x" onerror="window.hurt=1"></main>',
  );
  const { page, complaints } = await openHtml(browser, root, html, phone);
  t.is(await page.evaluate('window.hurt'), undefined);
  t.regex(complaints.join('\n'), /Content Security Policy/);
  await page.close();
});

testInBrowser('colours follow the scheme, of the page and of its charts, and print is light', async (t, browser) => {
  const { page, complaints } = await openHtml(browser, root, reportHtml(finished), { ...desk, colorScheme: 'light' });
  const ground = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
  const chart = () => page.evaluate("document.getElementById('memory').toDataURL()");
  const light = [await ground(), await chart()];
  await page.emulateMedia({ colorScheme: 'dark' });
  t.not(await ground(), light[0]);
  // Charts are told with the page's next frame.
  await t.notThrowsAsync(page.waitForFunction(`document.getElementById('memory').toDataURL() !== '${light[1]}'`));
  await page.emulateMedia({ colorScheme: 'dark', media: 'print' });
  t.is(await ground(), light[0]);
  t.deepEqual(complaints, []);
  await page.close();
});

testInBrowser('every chart has a name and its numbers as a table, and every table a head', async (t, browser) => {
  const { page } = await openHtml(browser, root, reportHtml(finished), phone);
  const faults = await page.evaluate(`[...document.querySelectorAll('figure')].flatMap((figure) => {
    const title = document.getElementById(figure.getAttribute('aria-labelledby'))?.textContent;
    const label = figure.querySelector('canvas').getAttribute('aria-label');
    const rows = figure.querySelectorAll('details tbody tr').length;
    const heads = figure.querySelectorAll('details thead th').length;
    return title && label && rows > 0 && heads > 1 ? [] : [{ title, label, rows, heads }];
  })`);
  t.deepEqual(faults, []);
  t.is(await page.evaluate("document.querySelectorAll('h1').length"), 1);
  await page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })");
  t.true(await page.evaluate(withinPage), 'open tables scroll in themselves');
  await page.close();
});
