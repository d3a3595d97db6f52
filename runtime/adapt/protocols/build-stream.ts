/** @file Builds the stream of a protocol from labels and a seed: pure, nothing is read. */
import { UsageError } from '../../errors.ts';
import { hash32, Random, shuffle } from '../../train/random.ts';
import { dirichlet } from './dirichlet.ts';
import type { Condition, ProtocolName, Segment, Stream } from './stream.ts';

export interface StreamOptions {
  readonly protocol: ProtocolName;
  /** Class of every image of the data set. */
  readonly labels: ArrayLike<number>;
  /** Number of classes; labels are below it. */
  readonly classes: number;
  /** In the order in which they come. */
  readonly corruptions: readonly string[];
  readonly seed: number;
  /** 1 to 5, default 5. `gradual` goes from 1 to it and back. */
  readonly severity?: number;
  /** Images of each corruption, the same ones for all: drawn from the data set. Default: every image. */
  readonly limit?: number;
  /** Concentration of `correlated`, above 0; smaller is more correlated. Default 0.1. */
  readonly delta?: number;
}

/** RoTTA's bound on the slots among which the images of a class are shared out. */
const maxSlots = 100;

/** Keys of the generator, one for each purpose. */
const purposes = { subset: 1, order: 2, mix: 3, shares: 4, slot: 5, classOrder: 6 } as const;

/**
 * Builds a stream in which every corruption shows every image once (`source-only`: every image once, clean).
 *
 * Images are shuffled anew for each corruption, since a data set may be sorted by class. `correlated` is RoTTA's sampler
 * (Yuan, Xie, Li, CVPR 2023): as many slots as classes, at most 100; each class is shared out among the slots by
 * Dirichlet(delta), and inside a slot the classes come one after another in random order. `gradual` divides the images of
 * a corruption evenly among its severities, so that it is as long as the others; in published protocols each
 * severity shows all of them.
 *
 * @throws UsageError if an option is out of its range
 */
export function buildStream(options: StreamOptions): Stream {
  const { protocol, seed, severity = 5, delta = 0.1 } = options;
  const chosen = chooseImages(options);
  const draw = new Draw(options, chosen);
  const conditions = conditionsOf(options, severity);
  const segments = segmentsOf(options, draw, conditions);
  return {
    protocol,
    seed,
    severity,
    delta: protocol === 'correlated' ? delta : null,
    imagesPerCorruption: chosen.length,
    classes: options.classes,
    conditions,
    segments,
    frames: segments.reduce((sum, { images }) => sum + images.length, 0),
    batchLimit: protocol === 'batch-1' ? 1 : null,
  };
}

const clean: Condition = { corruption: null, severity: 0 };

function conditionsOf({ protocol, corruptions }: StreamOptions, severity: number): readonly Condition[] {
  if (protocol === 'source-only') return [clean];
  const levels = protocol === 'gradual' ? Array.from({ length: severity }, (_, level) => level + 1) : [severity];
  const corrupted = corruptions.flatMap((corruption) => levels.map((level) => ({ corruption, severity: level })));
  return protocol === 'back-to-source' ? [...corrupted, clean] : corrupted;
}

function segmentsOf(options: StreamOptions, draw: Draw, conditions: readonly Condition[]): readonly Segment[] {
  const { protocol, corruptions, severity = 5 } = options;
  if (protocol === 'mixed') return [draw.mixed(conditions.length)];
  if (protocol === 'gradual') {
    return corruptions.map((name, at) => draw.gradual(name, at, severity));
  }
  return conditions.map(({ corruption }, at) =>
    draw.segment(corruption ?? 'clean', at === 0 || protocol === 'reset', draw.order(protocol, at), at),
  );
}

/** Draws the orders of one stream's images. */
class Draw {
  readonly #images: Uint32Array;
  readonly #labels: ArrayLike<number>;
  readonly #classes: number;
  readonly #delta: number;
  readonly #seed: number;

  constructor({ labels, classes, seed, delta = 0.1 }: StreamOptions, images: Uint32Array) {
    this.#images = images;
    this.#labels = labels;
    this.#classes = classes;
    this.#delta = delta;
    this.#seed = seed;
  }

  /** The images of the condition at `at`, as the protocol orders them. */
  order(protocol: ProtocolName, at: number): Uint32Array {
    const shuffled = this.#permuted(this.#images, purposes.order, at);
    if (protocol === 'correlated') return this.#correlated(shuffled, at);
    if (protocol === 'single-class') return this.#runs(this.#byClass(shuffled), purposes.classOrder, at);
    return shuffled;
  }

  segment(name: string, reset: boolean, images: Uint32Array, condition: number | Uint8Array): Segment {
    const conditions = typeof condition === 'number' ? new Uint8Array(images.length).fill(condition) : condition;
    const labels = Int32Array.from(images, (image) => this.#labels[image] as number);
    return { name, reset, images, labels, conditions };
  }

  /** Severity 1 to `severity` and back to 1, in parts of equal length; conditions lie corruption by corruption. */
  gradual(name: string, at: number, severity: number): Segment {
    const images = this.order('gradual', at);
    const parts = 2 * severity - 1;
    const conditions = Uint8Array.from(images, (_, place) => {
      const part = Math.floor((place * parts) / images.length);
      return at * severity + Math.min(part, parts - 1 - part);
    });
    return this.segment(name, at === 0, images, conditions);
  }

  /** Every image under every condition, all shuffled together. */
  mixed(conditions: number): Segment {
    const length = this.#images.length;
    const order = shuffle(conditions * length, hash32(this.#seed, purposes.mix), 0);
    const images = order.map((place) => this.#images[place % length] as number);
    return this.segment(
      'mixed',
      true,
      images,
      Uint8Array.from(order, (place) => Math.floor(place / length)),
    );
  }

  #correlated(images: Uint32Array, at: number): Uint32Array {
    const slots: Uint32Array[][] = Array.from({ length: Math.min(this.#classes, maxSlots) }, () => []);
    for (const [label, members] of this.#byClass(images).entries()) {
      const shares = dirichlet(new Random(this.#seed, purposes.shares, at, label), slots.length, this.#delta);
      let [share, from] = [0, 0];
      for (const [slot, parts] of slots.entries()) {
        share += shares[slot] as number;
        const end =
          slot === slots.length - 1 ? members.length : Math.min(members.length, Math.floor(share * members.length));
        parts.push(members.subarray(from, end));
        from = end;
      }
    }
    return joined(slots.map((parts, slot) => this.#runs(parts, purposes.slot, at * slots.length + slot)));
  }

  /** Parts one after another in random order. */
  #runs(parts: readonly Uint32Array[], purpose: number, at: number): Uint32Array {
    const order = shuffle(parts.length, hash32(this.#seed, purpose), at);
    return joined(Array.from(order, (part) => parts[part] as Uint32Array));
  }

  #byClass(images: Uint32Array): readonly Uint32Array[] {
    return Array.from({ length: this.#classes }, (_, label) => images.filter((image) => this.#labels[image] === label));
  }

  #permuted(images: Uint32Array, purpose: number, at: number): Uint32Array {
    const order = shuffle(images.length, hash32(this.#seed, purpose), at);
    return order.map((place) => images[place] as number);
  }
}

function joined(parts: readonly Uint32Array[]): Uint32Array {
  const all = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The images that the stream is made of, after a check of every option. */
function chooseImages(options: StreamOptions): Uint32Array {
  const { protocol, labels, classes, corruptions, seed, severity = 5, limit, delta = 0.1 } = options;
  const check = (name: string, right: boolean, expected: string, found: unknown): void => {
    if (!right) throw new UsageError(`${name}: expected ${expected} but got ${found}`, { [name]: found });
  };
  check('severity', Number.isInteger(severity) && severity >= 1 && severity <= 5, '1 to 5', severity);
  check('delta', delta > 0 && delta < Number.POSITIVE_INFINITY, 'a number above 0', delta);
  check('limit', limit === undefined || (Number.isInteger(limit) && limit > 0), 'a whole number above 0', limit);
  check('labels', labels.length > 0, 'at least one image', 'none');
  const repeated = corruptions.find((name, at) => corruptions.indexOf(name) !== at);
  const needed = protocol === 'source-only' ? 0 : 1;
  const named = corruptions.length >= needed && repeated === undefined;
  check('corruptions', named, 'at least one name, each once', repeated ?? 'none');
  const wrong = Array.from(labels).find((label) => !(Number.isInteger(label) && label >= 0 && label < classes));
  check('labels', wrong === undefined, `whole numbers from 0 to below ${classes}`, wrong);
  return shuffle(labels.length, hash32(seed, purposes.subset), 0)
    .subarray(0, limit ?? labels.length)
    .sort();
}
