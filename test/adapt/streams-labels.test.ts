import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { followLines } from '../../runtime/adapt/streams/follow-lines.ts';
import { arrivesNow, type Frame } from '../../runtime/adapt/streams/frame.ts';
import { LateLabels, lateLabelBytes } from '../../runtime/adapt/streams/late-labels.ts';
import { DataError } from '../../runtime/errors.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-labels-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const frame = (index: number, name = `${index}.jpg`): Frame => ({
  index,
  name,
  arrival: arrivesNow(),
  pixels: new Uint8Array(2 * 2 * 3).fill(index),
});

const options = { classCount: 3, classes: ['cat', 'dog', 'owl'], imageSize: 2, keep: 4 };

test('labels find their frames by number and by name, and come out once, in the order of the frames', (t) => {
  const labels = new LateLabels(options);
  for (let i = 0; i < 4; i += 1) labels.remember(frame(i));
  t.is(labels.add({ name: '3.jpg', class: 'owl' }), 'joined');
  t.is(labels.add({ frame: 1, class: 0 }), 'joined');
  t.is(labels.add({ frame: 1, class: 'dog' }), 'joined', 'a correction');
  const taken = labels.take();
  t.deepEqual(
    taken.map(({ label, image }) => [label, ...new Set(image)]),
    [
      [1, 1],
      [2, 3],
    ],
  );
  t.deepEqual(labels.take(), []);
  labels.remember(frame(9));
  t.deepEqual([...(taken[0]?.image ?? [])], Array(12).fill(1), 'what was taken is a copy');
  t.deepEqual(labels.counts(), { used: 2, waiting: 0, early: 0, forgotten: 0, invalid: 0 });
});

test('memory is that of the kept frames; labels of others are counted', (t) => {
  const labels = new LateLabels(options);
  t.is(lateLabelBytes(options), 4 * 12);
  for (let i = 0; i < 6; i += 1) labels.remember(frame(i));
  t.is(labels.add({ frame: 1, class: 0 }), 'forgotten');
  t.is(labels.add({ name: '0.jpg', class: 0 }), 'forgotten');
  t.is(labels.add({ frame: 6, class: 0 }), 'early');
  t.is(labels.add({ frame: 2, class: 0 }), 'joined');
  labels.remember(frame(6));
  t.deepEqual(labels.take(), [], 'its frame was overwritten first');
  t.deepEqual(labels.counts(), { used: 0, waiting: 0, early: 1, forgotten: 3, invalid: 0 });
});

test('the last frame of a name is meant, also after an older one of that name is overwritten', (t) => {
  const labels = new LateLabels({ ...options, keep: 2 });
  for (let i = 0; i < 3; i += 1) labels.remember(frame(i, 'same.jpg'));
  t.is(labels.add({ name: 'same.jpg', class: 2 }), 'joined');
  t.deepEqual(
    labels.take().map(({ image }) => image[0]),
    [2],
  );
});

for (const [name, message] of [
  ['nothing', null],
  ['no frame', { class: 1 }],
  ['frame and name', { frame: 1, name: 'x', class: 1 }],
  ['a frame that is no number', { frame: '1', class: 1 }],
  ['a frame and a name that cannot be', { frame: -1, name: 'x', class: 1 }],
  ['no class', { frame: 0 }],
  ['an unknown class', { frame: 0, class: 'cow' }],
  ['a class out of range', { frame: 0, class: 3 }],
  ['a fraction', { frame: 0, class: 0.5 }],
] as const) {
  test(`refused and counted: ${name}`, (t) => {
    const labels = new LateLabels(options);
    labels.remember(frame(0));
    t.throws(() => labels.add(message), { instanceOf: DataError, message: /^label: expected/ });
    t.is(labels.counts().invalid, 1);
  });
}

test('lines that are no labels are counted and cost nothing else', (t) => {
  const labels = new LateLabels({ ...options, classes: null });
  labels.remember(frame(0));
  t.is(labels.addText('{"frame": 0, "cla'), 'invalid');
  t.is(labels.addText('{"frame": 0, "class": "cat"}'), 'invalid', 'names are not known');
  t.is(labels.addText('{"frame": 0, "class": 2}'), 'joined');
  t.is(labels.counts().invalid, 2);
});

test('a file that grows, comes late, is torn, cut short and replaced', async (t) => {
  const path = join(root, 'labels.jsonl');
  const ending = new AbortController();
  t.teardown(() => ending.abort());
  const lines: string[] = [];
  const following = (async () => {
    for await (const line of followLines(path, { signal: ending.signal, pollMillis: 10 })) lines.push(line);
  })();
  const expectLines = async (...expected: string[]) => {
    for (let i = 0; i < 200 && lines.length < expected.length; i += 1) await delay(10);
    await delay(30);
    t.deepEqual(lines.splice(0), expected);
  };
  await expectLines();
  await writeFile(path, 'one\ntw');
  await expectLines('one');
  await appendFile(path, 'o\r\n\nthree\n');
  await expectLines('two', 'three');
  await writeFile(path, 'new\n');
  await expectLines('new');
  // With the number of the old one and no shorter: what was read before tells.
  await writeFile(path, 'written\nanew\n');
  await expectLines('written', 'anew');
  await appendFile(path, 'and on\n');
  await expectLines('and on');
  await writeFile(`${path}.tmp`, 'replaced by a longer one\n');
  await rename(`${path}.tmp`, path);
  await expectLines('replaced by a longer one');
  await rm(path);
  await expectLines();
  const many = Array.from({ length: 5000 }, (_, i) => `{"frame": ${i}, "class": ${i % 3}}`);
  await writeFile(path, `${many.join('\n')}\n`);
  await expectLines(...many);
  ending.abort();
  await following;
});

test('a line without an end does not grow in memory', async (t) => {
  const path = join(root, 'endless.jsonl');
  await writeFile(path, Buffer.alloc(2 ** 18, 'x'));
  await appendFile(path, '\nlast\n');
  const ending = new AbortController();
  for await (const line of followLines(path, { signal: ending.signal, pollMillis: 10 })) {
    t.true(line.length <= 2 ** 17);
    if (line === 'last') ending.abort();
  }
});
