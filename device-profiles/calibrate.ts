/**
 * @file Measures the running machine as the training engine uses it, and makes a profile of it.
 *
 * Three rates: matrix products through the engine's own onnxruntime sessions, its SIMD kernels, and a plain copy. All on
 * operands as large as those of a training step, so that caches help no more than they do there.
 */
import { loadSimd } from '../kernels/simd/simd.ts';
import { productModels } from '../models/onnx/products.ts';
import { writeAtomically } from '../runtime/delta/atomic-file.ts';
import { MatrixProducts } from '../runtime/engine/cpu/matrix-products.ts';
import { detectDevice } from './detect.ts';
import { type MeasuredRate, medianRate } from './median-rate.ts';
import { type DeviceProfile, type Figure, parseProfile } from './schema.ts';

export interface CalibrationOptions {
  /** Name of the profile; default `calibrated`. */
  readonly name?: string;
  /** Threads of the matrix products; default: what detection offers. */
  readonly threads?: number;
  /** Time to spend on each of the three rates; default 0.8. */
  readonly secondsPerRate?: number;
}

const PAGE_BYTES = 2 ** 16;

/** Size of one operand of the SIMD kernels: a larger activation of MobileNetV2 at 224 px and batch 8 has 14 MB. */
const OPERAND_BYTES = 2 ** 24;

/** Offset 0 means "absent" to the SIMD kernels, so the first page stays unused. */
const FIRST = PAGE_BYTES;
const SECOND = FIRST + OPERAND_BYTES;
const THIRD = SECOND + OPERAND_BYTES;
/** Vectors over channels, then the mask. */
const FACTOR = THIRD + OPERAND_BYTES;
const OFFSET = FACTOR + 4096;
const SHIFT = OFFSET + 4096;
const MASK = SHIFT + 4096;
const TOTAL_PAGES = Math.ceil((MASK + OPERAND_BYTES / 32) / PAGE_BYTES);

/** Rows, inputs and outputs of pointwise convolutions of MobileNetV2: 14 x 14 and 7 x 7 pixels, batch 8. */
const PRODUCTS = [
  [1568, 96, 576],
  [392, 576, 160],
  [392, 160, 960],
] as const;

const CHANNELS = 96;
const ROWS = Math.floor(OPERAND_BYTES / 4 / CHANNELS);

/**
 * Measures this machine for about three seconds and describes it, with the rates as `measured` figures.
 *
 * Allocates 49 MiB. What else runs meanwhile lowers the rates: medians are taken, but calibrate on an idle board, in the
 * power mode that is meant.
 *
 * @throws ProfileError if the machine cannot be read (not Linux).
 */
export async function calibrate(options: CalibrationOptions = {}): Promise<DeviceProfile> {
  const { name = 'calibrated', secondsPerRate = 0.8 } = options;
  const machine = await detectDevice();
  const threads = options.threads ?? machine.limits.threads.value;
  const memory = new WebAssembly.Memory({ initial: TOTAL_PAGES, maximum: TOTAL_PAGES });
  // Written once, or all pages are the same zero page; small, so that sums over many rounds stay finite.
  new Float32Array(memory.buffer).fill(0.01);
  const copy = await medianRate(secondsPerRate, () => copyOnce(memory));
  const simd = await simdRate(memory, secondsPerRate);
  const gemm = await gemmRate(memory, threads, secondsPerRate);
  const half = Math.floor((machine.memoryUsableBytes ?? machine.memoryTotalBytes).value / 2);
  const profile: DeviceProfile = {
    ...machine,
    name,
    rates: {
      gemmFlopsPerSecond: figure(gemm, `matrix products, ${threads} ${threads === 1 ? 'thread' : 'threads'}`),
      simdBytesPerSecond: figure(simd, 'Add, Affine forward and backward, one thread'),
      copyBytesPerSecond: figure(copy, 'copies of 16 MiB, one thread, bytes read and written'),
    },
    limits: {
      memoryBytes: { value: half, kind: 'computed', source: 'half-of-usable' },
      // The rate of the products holds for this many threads only.
      threads:
        options.threads === undefined
          ? machine.limits.threads
          : { value: threads, kind: 'computed', source: 'calibrated: as many as asked for' },
    },
    sources: {
      ...machine.sources,
      calibrated: `edgeshift devices calibrate, ${new Date().toISOString().slice(0, 10)}, Node ${process.version}`,
      'half-of-usable': 'half of memoryUsableBytes, as in the profiles that ship with edgeshift',
    },
  };
  // The reader's own rules hold for what is written as well.
  return parseProfile(JSON.stringify(profile), name);
}

/** Writes a profile as JSON, whole or not at all; `--device <path>` takes it. */
export async function writeProfile(path: string, profile: DeviceProfile): Promise<void> {
  await writeAtomically(path, [new TextEncoder().encode(`${JSON.stringify(profile, null, 2)}\n`)]);
}

/** A name that the schema allows, from the file the profile is written to: `My Board.json` becomes `my-board`. */
export function profileName(path: string): string {
  const file = path.split('/').at(-1) ?? '';
  const name = file
    .replace(/\.json$/i, '')
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return name || 'calibrated';
}

function figure({ median, lowest, highest, rounds }: MeasuredRate, what: string): Figure {
  const giga = (rate: number) => (rate / 1e9).toFixed(2);
  const note = `${what}; median of ${rounds} rounds from ${giga(lowest)} to ${giga(highest)} G`;
  return { value: Math.round(median), kind: 'measured', source: `calibrated: ${note}` };
}

function copyOnce(memory: WebAssembly.Memory): number {
  new Uint8Array(memory.buffer).copyWithin(SECOND, FIRST, FIRST + OPERAND_BYTES);
  return 2 * OPERAND_BYTES;
}

/** The three kernels that pass over most of the memory of a step; bytes are those of operands, results and masks. */
async function simdRate(memory: WebAssembly.Memory, seconds: number): Promise<MeasuredRate> {
  const simd = await loadSimd(memory);
  const count = ROWS * CHANNELS;
  const maskBytes = count / 8;
  return medianRate(seconds, () => {
    simd.affineForward(FIRST, SECOND, ROWS, CHANNELS, FACTOR, OFFSET, 0, 6, MASK, 0, 0, CHANNELS);
    simd.affineBackward(SECOND, THIRD, ROWS, CHANNELS, FACTOR, MASK, SHIFT, 0, CHANNELS);
    simd.add(FIRST, SECOND, THIRD, count);
    return (8 + 8 + 12) * count + 2 * maskBytes;
  });
}

/** Forward, input gradient and weight gradient of each product, as in a step. */
async function gemmRate(memory: WebAssembly.Memory, threads: number, seconds: number): Promise<MeasuredRate> {
  const products = await MatrixProducts.create(memory, productModels(), threads);
  const [weight, gradient] = [THIRD + OPERAND_BYTES / 2, THIRD + OPERAND_BYTES / 4];
  try {
    return await medianRate(seconds, async () => {
      let flops = 0;
      for (const [rows, inputs, outputs] of PRODUCTS) {
        await products.nn(FIRST, weight, SECOND, rows, inputs, outputs);
        await products.nt(SECOND, weight, THIRD, rows, outputs, inputs);
        await products.tnAdd(FIRST, SECOND, gradient, inputs, rows, outputs);
        flops += 6 * rows * inputs * outputs;
      }
      return flops;
    });
  } finally {
    await products.release();
  }
}
