import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { readTensors, writeTensors } from '../../runtime/delta/safetensors.ts';
import { DeltaError } from '../../runtime/errors.ts';
import { elements } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals } from '../support/draws.ts';

const seed = 11;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-tensors-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const shapes: Readonly<Record<string, readonly number[]>> = {
  'a.weight': [2, 3],
  'ümlaut "b"': [5],
  scalar: [],
  empty: [0, 4],
};
const tensors = Object.entries(shapes).map(([name, shape], i) => {
  const data = Float32Array.from(normals(new Random(seed, i), shape));
  return { name, shape, data, read: async () => data };
});

/** A file of the tensors above; its bytes. */
async function written(name: string, metadata: Record<string, string> = {}): Promise<[path: string, bytes: Buffer]> {
  const path = join(root, name);
  await writeTensors(path, tensors, { format: 'edgeshift-test', näme: 'wörth "it"\n', ...metadata });
  return [path, await readFile(path)];
}

/** A file with any header, as other programs write it. */
async function foreign(name: string, header: string, data: Uint8Array = new Uint8Array(0)): Promise<string> {
  const path = join(root, name);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  await writeFile(path, Buffer.concat([length, Buffer.from(header), data]));
  return path;
}

test('what is written is read back, bit for bit', async (t) => {
  const [path] = await written('round.safetensors');
  const file = await readTensors(path);
  t.deepEqual(file.metadata, { format: 'edgeshift-test', näme: 'wörth "it"\n' });
  t.deepEqual([...file.tensors.keys()], Object.keys(shapes));
  for (const { name, shape, data } of tensors) t.like(file.tensors.get(name), { name, shape: [...shape], data });
});

test('the bytes are plain safetensors: length, JSON header, float32 data', async (t) => {
  const [, bytes] = await written('plain.safetensors');
  const length = Number(bytes.readBigUInt64LE());
  t.is((8 + length) % 8, 0, 'data are aligned');
  const { __metadata__, ...entries } = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  t.true(Object.values(__metadata__).every((value) => typeof value === 'string'));
  let end = 0;
  for (const { name, shape, data } of tensors) {
    const { dtype, data_offsets } = entries[name];
    t.is(dtype, 'F32');
    t.deepEqual(entries[name].shape, shape);
    t.deepEqual(data_offsets, [end, end + 4 * elements(shape)], 'in order and without gaps');
    for (const [i, value] of data.entries()) t.is(bytes.readFloatLE(8 + length + end + 4 * i), value);
    end = data_offsets[1];
  }
  t.is(bytes.length, 8 + length + end);
});

test('a file of another program without a checksum is read', async (t) => {
  const header = '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  const path = await foreign('foreign.safetensors', header, new Uint8Array(Float32Array.of(1.5, -2).buffer));
  const { metadata, tensors: read } = await readTensors(path);
  t.deepEqual(metadata, {});
  t.deepEqual(read.get('x')?.data, Float32Array.of(1.5, -2), 'also where the header leaves the data unaligned');
});

test('any damaged byte is noticed', async (t) => {
  const [path, bytes] = await written('damaged.safetensors');
  const random = new Random(seed);
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7));
    await writeFile(path, damaged);
    await t.throwsAsync(
      readTensors(path),
      { instanceOf: DeltaError, message: /is not a readable safetensors file/ },
      `seed ${seed}, byte ${at}`,
    );
  }
});

test('any truncation is noticed', async (t) => {
  const [path, bytes] = await written('truncated.safetensors');
  for (let size = 0; size < bytes.length; size++) {
    await writeFile(path, bytes.subarray(0, size));
    await t.throwsAsync(readTensors(path), { instanceOf: DeltaError }, `${size} of ${bytes.length} bytes`);
  }
});

const garbage = [
  'null',
  '[]',
  '3',
  '{',
  '{"x":null}',
  '{"x":{}}',
  '{"x":{"dtype":"F32","shape":[1]}}',
  '{"x":{"dtype":"F32","shape":"1","data_offsets":[0,4]}}',
  '{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
  '{"x":{"dtype":"F32","shape":[0.5],"data_offsets":[0,2]}}',
  '{"x":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}',
  '{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
  '{"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}',
  '{"__metadata__":null}',
  '{"__metadata__":{"format":"edgeshift-test"}}',
  '{"__metadata__":{"format":"edgeshift-test","sha256":7}}',
];

garbage.forEach((header, i) => {
  test(`header ${header}`, async (t) => {
    const path = await foreign(`garbage-${i}.safetensors`, header, new Uint8Array(4));
    const error = await t.throwsAsync(readTensors(path), { instanceOf: DeltaError });
    t.true(error?.message.includes(path));
  });
});

test('a header longer than the file, and a missing file', async (t) => {
  const path = join(root, 'long.safetensors');
  await writeFile(path, Buffer.alloc(64, 0xff));
  await t.throwsAsync(readTensors(path), {
    instanceOf: DeltaError,
    message: /its header should have 18446744073709552000 bytes/,
  });
  await t.throwsAsync(readTensors(join(root, 'nothing')), { instanceOf: DeltaError, message: /ENOENT/ });
});

test('a tensor that fails to come leaves the old file and no other', async (t) => {
  const folder = await mkdtemp(join(root, 'fails-'));
  const path = join(folder, 'x.safetensors');
  await writeTensors(path, tensors, {});
  const old = await readFile(path);
  const broken = { name: 'broken', shape: [1], read: () => Promise.reject(new DeltaError('the engine is gone')) };
  await t.throwsAsync(writeTensors(path, [...tensors, broken], {}), { message: 'the engine is gone' });
  t.deepEqual(await readFile(path), old);
  t.deepEqual(await readdir(folder), ['x.safetensors']);
});
