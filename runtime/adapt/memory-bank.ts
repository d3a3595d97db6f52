/**
 * @file Class-balanced memories of frames, for streams whose labels are correlated: what is learnt from is drawn from the
 * memory and not from the stream.
 *
 * - `cstu`: category-balanced sampling with timeliness and uncertainty (RoTTA; Yuan et al., CVPR 2023). A frame scores
 *   1 / (1 + e^(-age / capacity)) + H / ln C, and the highest scores leave.
 * - `pbrs`: prediction-balanced reservoir sampling (NOTE; Gong et al., NeurIPS 2022). Each class keeps a uniform sample of
 *   what was predicted as it.
 *
 * All memory is taken when a bank is made; frames lie one after the other, so that a pass reads them in place.
 */
import { Random } from '../train/random.ts';
import { packPixels, unpackPixels } from './packed-pixels.ts';

export interface BankShape {
  /** Most frames kept. */
  readonly capacity: number;
  /** u8, RGB, channels-last. */
  readonly frameBytes: number;
  readonly classes: number;
}

/** Its state as arrays of exact whole numbers and single-precision values. */
export type BankState = Readonly<Record<string, Float32Array>>;

export interface MemoryBank {
  /** Frames kept now. */
  readonly size: number;
  /** The frames kept, one after the other: a view, which the next `add` changes. */
  readonly frames: Uint8Array;
  /** Predicted class of each frame kept. */
  readonly labels: Int32Array;
  /** Frames offered since each was, itself included. */
  readonly ages: Float32Array;
  /** Offers a frame with its predicted class and the entropy of the prediction in nats; returns whether it is kept. */
  add(frame: Uint8Array, label: number, entropy: number): boolean;
  clear(): void;
  save(): BankState;
  load(state: BankState): void;
}

/** Bytes that a bank takes: frames, and 12 bytes about each; 4 bytes a class. */
export function bankBytes({ capacity, frameBytes, classes }: BankShape): number {
  return capacity * (frameBytes + 12) + 4 * classes;
}

export function cstu(shape: BankShape): MemoryBank {
  return new Bank(shape, leastTimely);
}

export function pbrs(shape: BankShape, seed: number): MemoryBank {
  return new Bank(shape, (bank, label) => reservoir(bank, label, seed));
}

/** Chooses the slot that a frame takes, `bank.size` being a free one; null: the frame is not kept. */
type Policy = (bank: Bank, label: number, entropy: number) => number | null;

class Bank implements MemoryBank {
  readonly shape: BankShape;
  readonly entropies: Float32Array;
  /** Frames of each predicted class offered so far. */
  readonly seen: Float32Array;
  size = 0;
  /** Frames offered so far, modulo 2^24, where single precision ends counting. */
  offered = 0;
  readonly #policy: Policy;
  readonly #frames: Uint8Array;
  readonly #labels: Int32Array;
  readonly #ages: Float32Array;

  constructor(shape: BankShape, policy: Policy) {
    const { capacity, frameBytes, classes } = shape;
    this.shape = shape;
    this.#policy = policy;
    this.#frames = new Uint8Array(capacity * frameBytes);
    this.#labels = new Int32Array(capacity);
    this.#ages = new Float32Array(capacity);
    this.entropies = new Float32Array(capacity);
    this.seen = new Float32Array(classes);
  }

  get frames(): Uint8Array {
    return this.#frames.subarray(0, this.size * this.shape.frameBytes);
  }

  get labels(): Int32Array {
    return this.#labels.subarray(0, this.size);
  }

  get ages(): Float32Array {
    return this.#ages.subarray(0, this.size);
  }

  add(frame: Uint8Array, label: number, entropy: number): boolean {
    this.seen[label] = (this.seen[label] ?? 0) + 1;
    this.offered = (this.offered + 1) % 2 ** 24;
    const slot = this.#policy(this, label, entropy);
    if (slot !== null) {
      this.#frames.set(frame, slot * this.shape.frameBytes);
      this.#labels[slot] = label;
      this.#ages[slot] = 0;
      this.entropies[slot] = entropy;
      this.size = Math.max(this.size, slot + 1);
    }
    for (let i = 0; i < this.size; i++) this.#ages[i] = (this.#ages[i] ?? 0) + 1;
    return slot !== null;
  }

  /** Frames kept of each class. */
  held(): Int32Array {
    const held = new Int32Array(this.shape.classes);
    for (const label of this.labels) held[label] = (held[label] ?? 0) + 1;
    return held;
  }

  clear(): void {
    this.size = 0;
    this.offered = 0;
    this.seen.fill(0);
  }

  save(): BankState {
    return {
      frames: packPixels(this.frames),
      labels: Float32Array.from(this.labels),
      ages: this.ages.slice(),
      entropies: this.entropies.slice(0, this.size),
      seen: this.seen.slice(),
      offered: Float32Array.of(this.offered),
    };
  }

  load({ frames, labels, ages, entropies, seen, offered }: BankState): void {
    this.size = labels?.length ?? 0;
    this.offered = offered?.[0] ?? 0;
    this.#frames.set(unpackPixels(frames ?? new Float32Array()));
    this.#labels.set(labels ?? []);
    this.#ages.set(ages ?? []);
    this.entropies.set(entropies ?? []);
    this.seen.set(seen ?? []);
  }
}

function leastTimely(bank: Bank, label: number, entropy: number): number | null {
  const { capacity, classes } = bank.shape;
  const held = bank.held();
  const belowQuota = (held[label] ?? 0) < capacity / classes;
  if (belowQuota && bank.size < capacity) return bank.size;
  const most = Math.max(...held);
  const score = (age: number, uncertainty: number): number =>
    1 / (1 + Math.exp(-age / capacity)) + uncertainty / Math.log(classes);
  let [worst, highest] = [-1, Number.NEGATIVE_INFINITY];
  for (const [slot, kept] of bank.labels.entries()) {
    if (belowQuota ? held[kept] !== most : kept !== label) continue;
    const found = score(bank.ages[slot] ?? 0, bank.entropies[slot] ?? 0);
    if (found >= highest) [worst, highest] = [slot, found];
  }
  return highest > score(0, entropy) ? worst : null;
}

const reservoirStream = 0x5253;

function reservoir(bank: Bank, label: number, seed: number): number | null {
  if (bank.size < bank.shape.capacity) return bank.size;
  const random = new Random(seed, bank.offered, reservoirStream);
  const held = bank.held();
  const own = held[label] ?? 0;
  const most = Math.max(...held);
  const largest = [...held.keys()].filter((c) => held[c] === most);
  if (own === most && random.uniform() > own / (bank.seen[label] ?? 1)) return null;
  const from = own === most ? label : largest[random.integer(0, largest.length - 1)];
  const slots = [...bank.labels.keys()].filter((slot) => bank.labels[slot] === from);
  return slots[random.integer(0, slots.length - 1)] ?? null;
}

/**
 * The latest frames, as many of each predicted class as there are: the oldest of the largest class leaves. One that has become
 * stale leaves before: a model that takes everything for one class would else go on with frames of a world long gone.
 */
export function balanced(shape: BankShape): MemoryBank {
  return new Bank(shape, oldestOfMany);
}

/** Age from which a frame is stale, in capacities. */
const STALE = 8;

function oldestOfMany(bank: Bank, label: number): number {
  const { capacity } = bank.shape;
  if (bank.size < capacity) return bank.size;
  const stale = bank.ages.findIndex((age) => age > STALE * capacity);
  if (stale >= 0) return stale;
  const held = bank.held();
  held[label] = (held[label] ?? 0) + 1;
  const most = Math.max(...held);
  let [oldest, age] = [0, -1];
  for (const [slot, kept] of bank.labels.entries()) {
    if (held[kept] === most && (bank.ages[slot] ?? 0) > age) [oldest, age] = [slot, bank.ages[slot] ?? 0];
  }
  return oldest;
}
