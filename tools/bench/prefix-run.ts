/**
 * @file What a prefix session holds, in a process of its own: opened and run as the engine does it. Arguments: ONNX file, folder of
 * its weights, image size, threads. One JSON line: PrefixMemory.
 */
import '../../runtime/engine/no-telemetry.ts';
import { readFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { productModels } from '../../models/onnx/products.ts';
import { sessionOptions } from '../../runtime/engine/cpu/session-options.ts';
import { freeNow, releaseGarbage } from '../../runtime/garbage.ts';

/** Bytes above what the process held before. */
export interface PrefixMemory {
  /** Once the session is open, and at most meanwhile. */
  readonly openedBytes: number;
  readonly openingBytes: number;
  /** Once it has run, at most. */
  readonly runBytes: number;
}

const RUNS = 6;

/** A line of /proc/self/status in bytes, garbage collected first. */
async function held(line: 'RssAnon' | 'VmRSS' | 'VmHWM'): Promise<number> {
  releaseGarbage();
  const status = await readFile('/proc/self/status', 'utf8');
  return 1024 * Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
}

const [path = '', weights = '', ...numbers] = process.argv.slice(2);
const [size = 224, threads = 2] = numbers.map(Number);
const products = productModels();
// Code of onnxruntime that opening a session reads is there before anything is counted.
for (const model of [products.nn, products.nt, products.tnAdd])
  await InferenceSession.create(model, sessionOptions(threads));
const model = await readFile(path);
const [anonymous, resident] = [await held('RssAnon'), await held('VmRSS')];
const session = await InferenceSession.create(model, sessionOptions(threads, weights));
const openedBytes = (await held('RssAnon')) - anonymous;
const openingBytes = (await held('VmHWM')) - resident;
const pixels = new Float32Array(3 * size * size).fill(0.5);
let runBytes = openedBytes;
for (let n = 0; n < RUNS; n++) {
  const feeds = { [session.inputNames[0] ?? '']: new Tensor('float32', pixels, [1, 3, size, size]) };
  for (const { data } of Object.values(await session.run(feeds))) freeNow(data as Float32Array);
  runBytes = Math.max(runBytes, (await held('RssAnon')) - anonymous);
}
console.log(JSON.stringify({ openedBytes, openingBytes, runBytes } satisfies PrefixMemory));
