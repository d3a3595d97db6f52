import test from 'ava';
import sharp from 'sharp';
import { buildStream } from '../../runtime/adapt/protocols/build-stream.ts';
import { errorPlot } from '../../runtime/adapt/protocols/error-plot.ts';
import { corruptedImages } from '../../runtime/adapt/protocols/images.ts';
import {
  corruptionTable,
  resultsJson,
  type StreamResults,
  summaryTable,
} from '../../runtime/adapt/protocols/results.ts';
import { runStream } from '../../runtime/adapt/protocols/run-stream.ts';
import { compareRuns, corruptionScores, meanError } from '../../runtime/adapt/protocols/score.ts';
import type { ProtocolName } from '../../runtime/adapt/protocols/stream.ts';
import { niceTicks } from '../../runtime/adapt/protocols/svg.ts';
import { textTable } from '../../tools/cli/text-table.ts';
import { Centroids, classes, pictures, shade, side } from '../support/adapt-centroids.ts';

const seed = 20261121;
const source = pictures(seed, 200);
const provide = corruptedImages(
  { imageSize: side, read: async (index) => source.images[index] as Uint8Array },
  async (image, _, { corruption, severity }) => shade(image, corruption === 'bright', severity),
  seed,
);

async function resultsOf(protocol: ProtocolName): Promise<StreamResults> {
  const corruptions = ['dark', 'bright'];
  const stream = buildStream({ protocol, labels: source.labels, classes, corruptions, seed });
  const runs = [];
  for (const [method, rate] of [['none', 0] as const, ['follow <fast>', 0.05] as const]) {
    runs.push(await runStream(new Centroids(method, source, rate), stream, provide, { batch: 16 }));
  }
  return { stream, runs };
}

test('the summary has a row a method, with the paired difference from the reference', async (t) => {
  const results = await resultsOf('back-to-source');
  const { stream, runs } = results;
  const { title, rows, right } = summaryTable(results);
  t.is(title, `back-to-source, severity 5, 200 images each, batch 16, seed ${seed}`);
  const [header, none, follow] = rows;
  t.is(rows.length, 3);
  t.true(rows.every(({ length }) => length === header?.length));
  t.is(none?.[0], 'none');
  t.is(none?.[2], '');
  const [frozen, adapted] = runs;
  if (!frozen || !adapted) throw new Error('two runs were made');
  const { difference, standardError } = compareRuns(stream, adapted, frozen);
  t.is(follow?.[1], (100 * meanError(stream, adapted)).toFixed(1));
  t.is(follow?.[2], `${(100 * difference).toFixed(2)} ± ${(100 * standardError).toFixed(2)}`);
  const clean = corruptionScores(stream, adapted).at(-1);
  t.deepEqual([clean?.name, follow?.[3]], ['clean', (100 * (clean?.error ?? Number.NaN)).toFixed(1)]);
  t.is(follow?.[4], '100.0');
  const lines = textTable(rows, right).split('\n');
  t.is(lines[1]?.length, lines[2]?.length);
});

test('the corruptions have a row each, and their mean', async (t) => {
  const results = await resultsOf('mixed');
  const { rows } = corruptionTable(results);
  t.deepEqual(
    rows.map(([name]) => name),
    ['error %', 'dark', 'bright', 'mean'],
  );
  const column = rows.slice(1).map(([, none]) => Number(none));
  const [dark = Number.NaN, bright = Number.NaN, mean = Number.NaN] = column;
  t.true(Math.abs((dark + bright) / 2 - mean) <= 0.11, `${column}`);
});

test('JSON says what was run and carries every figure', async (t) => {
  const results = await Promise.all((['gradual', 'correlated'] as const).map(resultsOf));
  const facts = { model: { name: 'centroids', sha256: 'ab'.repeat(32) }, versions: { node: process.versions.node } };
  const parsed = JSON.parse(resultsJson(results, facts));
  t.is(parsed.format, 'edgeshift-stream-results');
  t.is(parsed.version, 1);
  t.deepEqual(parsed.model, facts.model);
  t.deepEqual(parsed.versions, facts.versions);
  const [gradual, correlated] = parsed.streams;
  t.deepEqual([gradual.protocol, gradual.seed, gradual.delta, gradual.frames], ['gradual', seed, null, 400]);
  t.is(correlated.delta, 0.1);
  t.is(gradual.conditions.length, 10);
  const [none, follow] = gradual.methods;
  t.deepEqual([none.method, none.against, none.batch], ['none', null, 16]);
  const [frozen, adapted] = results[0]?.runs ?? [];
  if (!results[0] || !frozen || !adapted) throw new Error('two runs were made');
  t.deepEqual(follow.against, compareRuns(results[0].stream, adapted, frozen));
  t.is(follow.error, meanError(results[0].stream, adapted));
  t.is(follow.segments.length, 2);
  t.deepEqual(follow.reasons, { 'whole batch': 384, 'part of a batch': 16 });
  t.is(follow.curve.at(-1).end, 400);
  t.true(follow.millisPerFrame.p50 > 0 && follow.millisPerFrame.p99 >= follow.millisPerFrame.p50);
});

for (const protocol of ['continual', 'mixed', 'source-only', 'back-to-source'] as const) {
  test(`the plot of ${protocol} is a picture with a line a method and a name a segment`, async (t) => {
    const results = await resultsOf(protocol);
    const svg = errorPlot(results);
    const { data, info } = await sharp(Buffer.from(svg)).raw().toBuffer({ resolveWithObject: true });
    t.is(info.width, 960);
    t.true(data.some((value) => value < 128));
    t.is(svg.match(/<polyline/g)?.length, 2);
    t.is(svg.match(/class="boundary"/g)?.length ?? 0, results.stream.segments.length - 1);
    for (const { name } of results.stream.segments) t.regex(svg, new RegExp(`>${name}</text>`));
    t.regex(svg, />follow &lt;fast&gt;/);
    t.notRegex(svg, /NaN|undefined|Infinity/);
  });
}

test('ticks are round, begin at 0 and reach the largest value', (t) => {
  t.deepEqual(niceTicks(100, 5), [0, 20, 40, 60, 80, 100]);
  t.deepEqual(niceTicks(37, 5), [0, 10, 20, 30, 40]);
  t.deepEqual(niceTicks(1, 5), [0, 0.2, 0.4, 3 * 0.2, 0.8, 1]);
  for (let most = 0.013; most < 1e7; most *= 1.37) {
    const ticks = niceTicks(most, 6);
    t.true((ticks.at(-1) as number) >= most * (1 - 1e-9) && (ticks.at(-2) as number) < most, `${most}: ${ticks}`);
    t.true(ticks.length >= 3 && ticks.length <= 8, `${most}: ${ticks}`);
  }
});
