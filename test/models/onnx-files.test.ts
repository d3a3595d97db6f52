import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { importGraph } from '../../models/onnx/import.ts';
import { readModelFile } from '../../models/onnx/model-file.ts';
import { DataLocation, encodeModel, type ModelProto } from '../../models/onnx/proto.ts';
import { ModelError } from '../../runtime/errors.ts';
import { mobileNetFile } from '../support/mobilenet.ts';
import { importModel, OnnxBuilder, parameterValuesOf, plainNet } from '../support/onnx-models.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-onnx-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

const refusal = (message: RegExp) => ({ instanceOf: ModelError, message });

test('a file is read with its name, opset and sha256', async (t) => {
  const bytes = encodeModel(plainNet().model());
  const file = await readModelFile(await write('My-Net.ONNX', bytes));
  t.is(file.name, 'My-Net');
  t.is(file.opset, 17);
  t.is(file.sha256, createHash('sha256').update(bytes).digest('hex'));
  t.notThrows(() => importGraph(file, undefined));
});

test('missing, empty and foreign files are refused', async (t) => {
  await t.throwsAsync(
    readModelFile(join(folder, 'absent.onnx')),
    refusal(/^cannot read model ".*absent\.onnx": ENOENT/),
  );
  const foreign: Record<string, Uint8Array | string> = {
    'empty.onnx': '',
    'text.onnx': 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n',
    'page.onnx': '<!DOCTYPE html><html><head><title>404</title></head></html>',
    'image.onnx': Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13),
    'zip.onnx': Uint8Array.of(0x50, 0x4b, 3, 4, 20, 0, 0, 0, 8, 0, 0, 0),
    'zeros.onnx': new Uint8Array(100),
  };
  for (const [name, content] of Object.entries(foreign)) {
    const error = await t.throwsAsync(
      readModelFile(await write(name, content)),
      refusal(/is not an ONNX model or is damaged/),
      name,
    );
    t.true(error?.message.includes(`"${join(folder, name)}"`) && error.message.includes('\nHint: '), error?.message);
    t.is(error?.code, 'MODEL');
  }
});

test('a real model cut short anywhere is refused', async (t) => {
  const whole = await readFile((await mobileNetFile()).path);
  const lengths = [
    1,
    2,
    10,
    100,
    1000,
    5000,
    whole.length / 2,
    whole.length - 1000,
    whole.length - 100,
    whole.length - 10,
    whole.length - 1,
  ];
  for (const length of lengths) {
    const path = await write('cut.onnx', whole.subarray(0, Math.floor(length)));
    await t.throwsAsync(
      readModelFile(path),
      { instanceOf: ModelError },
      `${Math.floor(length)} of ${whole.length} bytes`,
    );
  }
});

test('opsets outside 7 to 25 are refused', async (t) => {
  for (const opset of [0, 6, 26]) {
    const b = new OnnxBuilder({ opset });
    b.head(b.conv('conv', 'image', 4), 2);
    const path = await write(`opset${opset}.onnx`, encodeModel(b.model()));
    await t.throwsAsync(readModelFile(path), refusal(new RegExp(`uses ONNX opset ${opset}: expected 7 to 25`)));
  }
});

/** Moves all weights into a data file, each at a multiple of 16 bytes. */
function externalize(model: ModelProto, location: string): Uint8Array {
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of model.graph?.initializer ?? []) {
    const data = Uint8Array.from(tensor.rawData);
    const padded = new Uint8Array(Math.ceil(data.length / 16) * 16);
    padded.set(data);
    parts.push(padded);
    const entry = (key: string, value: string) => ({ $typeName: 'onnx.StringStringEntryProto' as const, key, value });
    tensor.externalData = [
      entry('location', location),
      entry('offset', `${offset}`),
      entry('length', `${data.length}`),
    ];
    tensor.dataLocation = DataLocation.EXTERNAL;
    tensor.rawData = new Uint8Array();
    offset += padded.length;
  }
  return Buffer.concat(parts);
}

test('weights in an external file; the sha256 covers them', async (t) => {
  const inline = plainNet().model();
  const model = plainNet().model();
  const data = externalize(model, 'external.bin');
  const path = await write('external.onnx', encodeModel(model));
  await write('external.bin', data);
  const file = await readModelFile(path);
  t.deepEqual(parameterValuesOf(importGraph(file, undefined).graph), parameterValuesOf(importModel(inline)));
  data[0] = (data[0] ?? 0) ^ 1;
  await write('external.bin', data);
  t.not((await readModelFile(path)).sha256, file.sha256);
});

test('external data that are missing, short or elsewhere are refused with tensor and file', async (t) => {
  const model = plainNet().model();
  const data = externalize(model, 'lost.bin');
  const path = await write('lost.onnx', encodeModel(model));
  await t.throwsAsync(
    readModelFile(path),
    refusal(/^tensor "conv\.weight" of ".*lost\.onnx": cannot read its external data from ".*lost\.bin": ENOENT/),
  );
  await write('lost.bin', data.subarray(0, data.length - 20));
  await t.throwsAsync(
    readModelFile(path),
    refusal(/^tensor "logits\.\w+" of .* expected \d+ bytes at \d+, found \d+$/),
  );
  for (const location of ['../outside.bin', '/etc/hostname', 'a/../../b', '']) {
    const elsewhere = plainNet().model();
    externalize(elsewhere, location);
    await t.throwsAsync(
      readModelFile(await write('elsewhere.onnx', encodeModel(elsewhere))),
      refusal(/must lie beside the model, found/),
      location,
    );
  }
});
