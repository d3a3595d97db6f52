/** The file of a report: complete in itself, inert, small, and written whole. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { DataError } from '../../../runtime/errors.ts';
import { comparisonHtml } from '../../../tools/profiler/report/comparison.ts';
import { reportHtml, writeReport } from '../../../tools/profiler/report/report.ts';
import { palettes } from '../../../tools/profiler/report/style.ts';
import { adaptRun, emptyRun, finishedRun, hostileRun, outOfMemory } from './example-records.ts';

const SEED = 12;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-report-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

/** Contents of the elements of one kind. */
const contents = (html: string, element: string): readonly string[] =>
  [...html.matchAll(new RegExp(`<${element}(?: type="module")?>(.*?)</${element}>`, 'gs'))].map(
    ([, text = '']) => text,
  );

test('every script and the style sheet are named in the policy by their hashes, and nothing else may run', (t) => {
  const html = reportHtml(finishedRun(SEED));
  const [, policy = ''] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html) ?? [];
  t.true(policy.startsWith("default-src 'none'; "));
  t.false(policy.includes('unsafe'));
  const hashes = [...contents(html, 'script'), ...contents(html, 'style')].map(
    (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`,
  );
  t.is(hashes.length, 4);
  t.deepEqual(policy.match(/'sha256-[^']*'/g), hashes);
  t.notRegex(html, /<[^>]+ (?:style|on\w+)=/, 'nothing inline beside them');
});

test('what a record says stays text, in every place', (t) => {
  for (const html of [reportHtml(hostileRun(SEED)), comparisonHtml(hostileRun(SEED), finishedRun(SEED))]) {
    t.is(html.match(/<img/g), null);
    t.is(html.match(/<script[ >]/g)?.length, 4, 'data, Chart.js and two of our own');
    t.is(html.match(/<\/script>/g)?.length, 4);
    t.true(html.includes('&lt;/script&gt;&lt;img'));
  }
});

test('a record of any kind makes a page', (t) => {
  const records = [finishedRun(SEED), outOfMemory(SEED), adaptRun(SEED), emptyRun()];
  for (const a of records) {
    t.regex(reportHtml(a), /<h1 class="(good|bad|plain)">/);
    for (const b of records) t.regex(comparisonHtml(a, b), /<h1>Two runs side by side<\/h1>/);
  }
});

test("the machine's rates are the roof", (t) => {
  const record = finishedRun(SEED);
  t.true(reportHtml(record).includes('Roof: 95 GFLOP/s and 9 GB/s, calibrated on the device.'));
  t.true(reportHtml({ ...record, rates: null }).includes('No roof is drawn'));
});

test('ten minutes at a sample every 50 ms make less than 400 KB', (t) => {
  const record = finishedRun(SEED, 600, 50);
  t.true(record.samples.length > 11_000);
  const bytes = Buffer.byteLength(reportHtml(record));
  t.log(`${bytes} bytes`);
  t.true(bytes < 400_000, `${bytes} bytes`);
});

test('a report is written whole; where it cannot be, the error names the file and nothing is left', async (t) => {
  const path = join(root, 'report.html');
  await writeReport(finishedRun(SEED), path);
  t.is(await readFile(path, 'utf8'), reportHtml(finishedRun(SEED)));
  const error = await t.throwsAsync(writeReport(finishedRun(SEED), join(root, 'none', 'report.html')));
  t.true(error instanceof DataError);
  t.true(error?.message.includes(join(root, 'none', 'report.html')));
  t.deepEqual(await readdir(root), ['report.html']);
});

/** Relative luminance of a colour `#rrggbb`, by WCAG 2. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

test('contrast: text 4.5 and what is drawn 3, on both grounds of both palettes', (t) => {
  for (const { ground, panel, ink, muted, good, bad, series } of Object.values(palettes)) {
    for (const behind of [ground, panel]) {
      for (const text of [ink, muted, good, bad]) t.true(contrast(text, behind) >= 4.5, `${text} on ${behind}`);
      for (const colour of series) t.true(contrast(colour, behind) >= 3, `${colour} on ${behind}`);
    }
  }
});
