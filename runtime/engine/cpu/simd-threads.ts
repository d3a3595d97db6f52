/**
 * @file The SIMD kernels on several threads: the same functions, each cut into shares that other threads take.
 *
 * A share is a range of channels, rows or elements. Nothing is ever summed across shares (channels are independent, sums over the
 * rows of a channel included), so results are equal to the bit whatever the number of threads. The threads meet in a
 * block of shared integers; between kernels they sleep.
 */
import { Worker } from 'node:worker_threads';
import type { SimdKernels } from '../../../kernels/simd/simd.ts';
import { ExecutionError } from '../../errors.ts';
import type { ProductsName } from '../../plan/plan.ts';
import { cut, type KernelName, type Share, shares, work } from './simd-shares.ts';

/** What a helping thread starts with. */
export interface HelperSetup {
  readonly memory: WebAssembly.Memory;
  readonly call: SharedCall;
  /** Which share it takes, from 1; the engine's own thread takes share 0. */
  readonly share: number;
}

/** The call that all threads work on. */
export interface SharedCall {
  /** See `Slot`. */
  readonly integers: Int32Array<SharedArrayBuffer>;
  /** Arguments of the kernel. */
  readonly values: Float64Array<SharedArrayBuffer>;
}

export const Slot = {
  /** Counts calls; a helper works when it has changed. */
  call: 0,
  /** Helpers that have not finished yet. */
  busy: 1,
  /** Index of the kernel in `kernelNames`; negative: leave. */
  kernel: 2,
  /** Number of arguments. */
  count: 3,
  /** Number of shares. */
  shares: 4,
} as const;

/** The longest list of arguments of a kernel that is cut, with room to spare. */
const MOST_ARGUMENTS = 32;

/** Elements below which waking somebody costs more than it saves. */
const LEAST_WORK = 1 << 20;

/** Looks at the shared integers before going to sleep, or giving the core to somebody: about 20 microseconds. */
const SPINS = 2000;

/** Whether the arena may be shared. onnxruntime-node takes views of shared memory from Node 22 on: Node-API 20 refuses them. */
export function canShareMemory(products: ProductsName): boolean {
  return products === 'simd' || Number(process.versions.node.split('.')[0]) >= 22;
}

/** Kernels that are cut, in a fixed order that all threads know. */
export const kernelNames = Object.keys(shares) as KernelName[];

export class SimdThreads {
  /** As the kernels of one thread, and as fast as all threads together. */
  readonly kernels: SimdKernels;
  readonly #call: SharedCall;
  readonly #helpers: readonly Worker[];

  private constructor(local: SimdKernels, call: SharedCall, helpers: readonly Worker[], memoryBound: boolean) {
    this.#call = call;
    this.#helpers = helpers;
    const cutKernels = kernelNames.flatMap((name, index) =>
      memoryBound || shares[name].bound === 'arithmetic' ? [[name, this.#shared(local, name, index)]] : [],
    );
    this.kernels = { ...local, ...Object.fromEntries(cutKernels) };
  }

  /**
   * Starts `helpers` threads beside the caller's own, which holds `local` on the same memory.
   * @param memoryBound whether kernels that wait for memory are shared too; by default that is tried out, on memory that
   *   must still be all zeros
   */
  static async start(
    local: SimdKernels,
    memory: WebAssembly.Memory,
    helpers: number,
    memoryBound?: boolean,
  ): Promise<SimdThreads> {
    const call: SharedCall = {
      integers: new Int32Array(new SharedArrayBuffer(4 * Object.keys(Slot).length)),
      values: new Float64Array(new SharedArrayBuffer(8 * MOST_ARGUMENTS)),
    };
    const started = Array.from({ length: helpers }, (_, index) => startHelper({ memory, call, share: index + 1 }));
    const all = new SimdThreads(local, call, await Promise.all(started), true);
    const pays = memoryBound ?? addsFaster(all.kernels, local, memory);
    return pays ? all : new SimdThreads(local, call, all.#helpers, false);
  }

  async release(): Promise<void> {
    this.#post(-1, []);
    await Promise.all(this.#helpers.map((helper) => helper.terminate()));
  }

  #shared(local: SimdKernels, name: KernelName, index: number) {
    const share: Share = shares[name];
    const kernel = local[name] as (...args: number[]) => void;
    const parts = this.#helpers.length + 1;
    return (...args: number[]): void => {
      const helped = work(share, args) >= LEAST_WORK;
      if (helped) this.#post(index, args);
      const own = helped ? cut(share, args, 0, parts) : args;
      if (own) kernel(...own);
      if (helped) this.#join();
    };
  }

  #post(kernel: number, args: readonly number[]): void {
    const { integers, values } = this.#call;
    values.set(args);
    integers[Slot.kernel] = kernel;
    integers[Slot.count] = args.length;
    integers[Slot.shares] = this.#helpers.length + 1;
    Atomics.store(integers, Slot.busy, this.#helpers.length);
    Atomics.add(integers, Slot.call, 1);
    Atomics.notify(integers, Slot.call);
  }

  #join(): void {
    const { integers } = this.#call;
    for (let busy = this.#helpers.length; busy > 0; busy = Atomics.load(integers, Slot.busy)) {
      if (waitForChange(integers, Slot.busy, busy) === 'lost') throw new ExecutionError('a SIMD thread was lost');
    }
  }
}

/** A step of training must pay for what waking threads costs everybody else. */
const WORTHWHILE = 0.8;
const ROUNDS = 5;

/** Whether several threads get through memory faster than one: on some machines one core takes all the bandwidth. */
function addsFaster(all: SimdKernels, one: SimdKernels, { buffer }: WebAssembly.Memory): boolean {
  const first = 64;
  const count = Math.min((buffer.byteLength - first) / 4, 1 << 22) & ~15;
  if (count < LEAST_WORK) return false;
  // Zeros plus zeros: nothing changes.
  const best = (kernels: SimdKernels): number => {
    const millis = Array.from({ length: ROUNDS }, () => {
      const started = performance.now();
      kernels.add(first, first, first, count);
      return performance.now() - started;
    });
    return Math.min(...millis);
  };
  return best(all) < WORTHWHILE * best(one);
}

/** Milliseconds after which a thread that does not answer is taken for dead. */
const LOST_MILLIS = 60_000;

/** Waits until a shared integer is no longer `seen`: for a moment awake, then asleep. */
export function waitForChange(
  integers: Int32Array<SharedArrayBuffer>,
  slot: number,
  seen: number,
  millis = LOST_MILLIS,
): 'changed' | 'lost' {
  for (let spin = 0; spin < SPINS; spin++) {
    if (Atomics.load(integers, slot) !== seen) return 'changed';
  }
  return Atomics.wait(integers, slot, seen, millis) === 'timed-out' ? 'lost' : 'changed';
}

async function startHelper(setup: HelperSetup): Promise<Worker> {
  const worker = new Worker(new URL('./simd-helper.js', import.meta.url), {
    workerData: setup,
    // It makes no objects to speak of.
    resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16, stackSizeMb: 1 },
  });
  await new Promise<void>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new ExecutionError(`a SIMD thread ended with code ${code} at its start`)));
  });
  worker.removeAllListeners('exit');
  // It sleeps when there is nothing to do and must not keep the process alive.
  worker.unref();
  return worker;
}
