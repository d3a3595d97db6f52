/** What is counted outside of the arena: sessions of the prefix, phases before training, features that are kept. */
import test from 'ava';
import {
  featureRoomBytes,
  prefixLoadingBytes,
  prefixRunBytes,
  prefixWeightBytes,
} from '../../runtime/plan/accounting.ts';
import { GraphBuilder, relu } from '../support/graphs.ts';
import { mobileNet } from '../support/mobilenet.ts';
import { cutElements, plan as makePlan } from '../support/training.ts';

const MIB = 2 ** 20;

/** Two pointwise convolutions: 256 x 1024 floats, which malloc gives back once they are free, and 1024 x 128, which it keeps. */
function twoConvolutions() {
  const b = new GraphBuilder([4, 4, 256]);
  const wide = b.conv('wide', 'image', 1024);
  const narrow = b.conv('narrow', b.clip('clip', wide, relu), 128);
  const graph = b.build(b.head(narrow, 2));
  return { graph, narrow, nodes: graph.nodes.slice(0, 3) };
}

test('opening a prefix: large weights twice, the largest three times more, holes for small ones, and tables', (t) => {
  const { graph, nodes } = twoConvolutions();
  const [large, small] = [MIB, MIB / 2];
  t.is(prefixWeightBytes(graph, nodes), large + small);
  const session = 3 * 16 * 1024 + 1.25 * small;
  t.is(prefixLoadingBytes(graph, nodes), large + small + session + large + 3 * large);
});

test('running a prefix: its session, and activations two and a half times', (t) => {
  const { graph, narrow, nodes } = twoConvolutions();
  // The image and the wide map, then the wide and the narrow one; clipping takes nothing of its own.
  const peak = 4 * 16 * (256 + 1024);
  t.is(prefixRunBytes(graph, nodes, narrow), 3 * 16 * 1024 + (1.25 * MIB) / 2 + 2.5 * peak);
  t.is(prefixRunBytes(graph, [], 'image'), 0);
});

test('features that are kept count where something is frozen and the budget holds them, and never change the plan', async (t) => {
  const graph = await mobileNet(96);
  const without = makePlan(graph, { batch: 4 });
  const room = featureRoomBytes(4, 4 * cutElements(without, graph));
  const kept = makePlan(graph, { batch: 4, cachesFeatures: true });
  t.deepEqual([without.cachesFeatures, kept.cachesFeatures], [false, true]);
  t.is(kept.totalBytes, without.totalBytes + room);
  t.is(kept.bytes.base, without.bytes.base + room);
  t.deepEqual([kept.steps, kept.buffers], [without.steps, without.buffers]);
  const budgetBytes = kept.totalBytes - 1;
  const tight = makePlan(graph, { batch: 4, cachesFeatures: true, budgetBytes });
  t.deepEqual({ ...tight, budgetBytes: 0 }, { ...without, budgetBytes: 0 });
  t.true(tight.fits);
  const pictures = new GraphBuilder([8, 8, 3]);
  const all = pictures.build(pictures.head(pictures.conv('conv', 'image', 4), 2));
  t.false(makePlan(all, { scheme: 'full', blocks: 0, cachesFeatures: true }).cachesFeatures, 'nothing is frozen');
});

test('a large file whose weights train counts as it is read', async (t) => {
  const graph = await mobileNet(32);
  const model = { name: 'large', sha256: '0'.repeat(64), imageSize: 32, fileBytes: 512 * MIB };
  const { bytes, totalBytes } = makePlan(graph, { model });
  const small = makePlan(graph);
  t.is(small.bytes.loading, 0);
  t.is(bytes.loading + bytes.export, totalBytes - small.totalBytes);
  t.true(totalBytes >= 120 * MIB + 512 * MIB);
});
