/**
 * @file edgeshift: the default method. Norms follow the frames as far as these have drifted; while they do, and for a while after,
 * scales and shifts follow the entropy of certain predictions down; guards decide when neither may happen.
 *
 * Frames are normalized by the statistics in use, and gradients are those of Batch Renormalization, so that a call may be cut into
 * passes of a few frames; the memory is that of one pass. A round
 * 1. looks at the latest frames: their statistics, normalized by themselves layer by layer,
 * 2. moves the statistics in use towards these as far as they have drifted, as a running average from then on (norm-follower.ts),
 * 3. predicts with them, a little with each pass's own,
 * 4. descends along the entropy of the frames that pass the filters, and draws what trains towards the deployed values by `anchor`
 *    (as ROID does; Marsden et al., WACV 2024), so that one world's corrections do not burden the next.
 * Frames of few classes are not followed, as far as norms (norm-look.ts) and predictions (guards/knowledge.ts) tell; those of a
 * class-balanced memory are looked at instead.
 * A look is due every `memory` frames, and every `first` at the start and where little is known of a new world. Where the drift has
 * been below `still` for `settle` rounds, 2 to 4 are left out, looks become rare (guards/calm.ts), and predictions go through one
 * session of the whole network until something changes.
 *
 * Numbers: `learningRate` of Adam; `pass` frames a pass at most; `memory` frames kept and looked at in a round; `first` of them before
 * there are so many; `blocks` whose norms train, counted from the top; `gain`, `least`, `still`, `settle`, `skew`, `skewMost` of
 * following (norm-follower.ts); `fresh`: frames that statistics are worth, below which looks come every `first`; `ownPass`: share of a
 * frame's own pass in its prediction; `anchor`; `margin`, `redundancy` of the filters; `twinEvery` rounds between looks at the frozen
 * twin. How they were chosen stands in the README.
 */
import { countBlocks } from '../../scheme/scheme.ts';
import type { LateLabel, Outcome } from '../adapter.ts';
import { argmaxRows, crossEntropyGradient, entropies, entropyGradient, mixture, softmax } from '../entropy.ts';
import { Calm } from '../guards/calm.ts';
import { FrameFilter } from '../guards/filters.ts';
import { FrozenTwin } from '../guards/twin.ts';
import { LatestFrames, latestBytes, type Window } from '../latest-frames.ts';
import type { Learner } from '../learner.ts';
import { balanced, bankBytes, type MemoryBank } from '../memory-bank.ts';
import type { Method, MethodSettings, Running } from '../method.ts';
import { movedTowards } from '../norm-drift.ts';
import { type Followed, NormFollower } from '../norm-follower.ts';
import { type FramePass, inPasses } from '../passes.ts';

const defaults = {
  learningRate: 1e-3,
  pass: 7,
  memory: 64,
  first: 16,
  fresh: 192,
  blocks: 99,
  gain: 40,
  least: 0.05,
  still: 0.005,
  settle: 32,
  ownPass: 0.25,
  anchor: 0.01,
  skew: 0.03,
  skewMost: 0.1,
  margin: 0.4,
  redundancy: 0.95,
  twinEvery: 8,
};

type Numbers = { readonly [Name in keyof typeof defaults]: number };

export const edgeshift: Method = {
  defaults,
  plan: (graph, settings) => {
    const { blocks, pass } = numbersOf(settings);
    return {
      scheme: {
        name: 'norms',
        blocks: Math.min(countBlocks(graph), blocks),
        head: false,
        norms: 'renorm',
        // The statistics of a pass are read off as they are; how far they count is decided per round.
        momentum: 1,
        reach: 'all',
      },
      optimizer: 'adam',
      tensors: '8bit',
      fuses: true,
      microBatch: pass,
    };
  },
  // The memory, and the latest frames; the last good snapshot, the model while its twin is asked, and statistics of a round with its passes.
  stateBytes: ({ changing, frame, classes }, settings) => {
    const { memory, pass } = numbersOf(settings);
    const shape = { capacity: memory, frameBytes: frame, classes };
    return bankBytes(shape) + latestBytes(shape) + (4 + Math.ceil(memory / pass)) * changing;
  },
  start: async (learner, settings) => {
    await learner.fuse();
    return new EdgeshiftRun(learner, settings);
  },
};

const numbersOf = ({ numbers }: MethodSettings): Numbers => ({ ...defaults, ...numbers });

class EdgeshiftRun implements Running {
  readonly #learner: Learner;
  readonly #numbers: Numbers;
  readonly #guards: MethodSettings['guards'];
  readonly #frameBytes: number;
  readonly #latest: LatestFrames;
  readonly #bank: MemoryBank;
  readonly #follower: NormFollower;
  readonly #filter: FrameFilter;
  readonly #calm: Calm;
  readonly #twin: FrozenTwin;
  /** Frames since the last look. */
  #waiting = 0;

  constructor(learner: Learner, settings: MethodSettings) {
    this.#learner = learner;
    this.#numbers = numbersOf(settings);
    this.#guards = settings.guards;
    this.#frameBytes = 3 * learner.plan.model.imageSize ** 2;
    const { memory, margin, redundancy, twinEvery } = this.#numbers;
    this.#latest = new LatestFrames({ capacity: memory, frameBytes: this.#frameBytes });
    this.#bank = balanced({ capacity: memory, frameBytes: this.#frameBytes, classes: learner.classes });
    this.#follower = new NormFollower(learner, this.#numbers, this.#guards);
    this.#filter = this.#guards.has('filter')
      ? new FrameFilter(learner.classes, margin, redundancy)
      : new FrameFilter(learner.classes, 1, 1);
    this.#calm = new Calm(memory);
    this.#twin = new FrozenTwin(learner, { every: twinEvery, guards: this.#guards });
  }

  async observe(images: Uint8Array, count: number): Promise<Outcome> {
    const window = this.#latest.with(images, count);
    this.#waiting += count;
    const own = await this.#lookAt(window);
    const logits = await (isFollowed(own) ? this.#followed(window, own) : this.#learner.predict(images, count));
    this.#remember(images, logits);
    const isFull = this.#bank.size === this.#numbers.memory;
    const fromMemory = own.found === 'label shift' && isFull && this.#guards.has('memory');
    const found = fromMemory ? await this.#lookAtMemory() : own.found;
    if (found !== FEW && found !== CALM) this.#looked(found, fromMemory ? this.#bank.size : window.count);
    const verdict = descends(found) ? await this.#twin.ask(this.#bank.frames, this.#bank.size) : null;
    if (verdict !== null) this.#follower.trust();
    const reason = fromMemory ? `memory: ${found}` : found;
    return { logits, updated: descends(found) || found === 'label shift, back to deployed', reason: verdict ?? reason };
  }

  async teach(labelled: readonly LateLabel[]): Promise<void> {
    const { pass, learningRate } = this.#numbers;
    const { classes } = this.#learner;
    for (let from = 0; from < labelled.length; from += pass) {
      const some = labelled.slice(from, from + pass);
      const images = new Uint8Array(some.length * this.#frameBytes);
      const target = new Float32Array(some.length * classes);
      some.forEach(({ image, label }, n) => {
        images.set(image, n * this.#frameBytes);
        target[n * classes + label] = 1;
      });
      const p = softmax(await this.#learner.forwardHeld(images, some.length), classes);
      const weights = new Float32Array(some.length).fill(1 / labelled.length);
      await this.#learner.descend(crossEntropyGradient(p, target, classes, weights));
    }
    if (labelled.length > 0) await this.#learner.update({ learningRate });
  }

  reset(): void {
    this.#latest.clear();
    this.#bank.clear();
    this.#follower.reset();
    this.#filter.reset();
    this.#calm.reset();
    this.#twin.reset();
    this.#waiting = 0;
  }

  save(): Readonly<Record<string, Float32Array>> {
    return {
      ...this.#latest.save(),
      ...this.#bank.save(),
      follower: this.#follower.save(),
      filter: this.#filter.save(),
      calm: this.#calm.save(),
      counts: Float32Array.of(this.#waiting),
      ...this.#twin.save(),
    };
  }

  load(state: Readonly<Record<string, Float32Array>>): void {
    this.#latest.load(state);
    this.#bank.load(state);
    this.#follower.load(state.follower ?? new Float32Array());
    this.#filter.load(state.filter ?? new Float32Array());
    this.#calm.load(state.calm ?? new Float32Array());
    this.#waiting = state.counts?.[0] ?? 0;
    this.#twin.load(state);
  }

  /** Frames of a look at least; once there have been as many as the memory holds, the latest frames are never fewer. */
  get #first(): number {
    return Math.min(this.#numbers.first, this.#numbers.memory);
  }

  /** Frames between looks. */
  get #patience(): number {
    const { memory, fresh } = this.#numbers;
    if (this.#bank.size < memory || this.#follower.worth < fresh) return this.#first;
    return this.#guards.has('drift') ? this.#calm.patience : memory;
  }

  /** A look at the latest frames, if they are enough and it is time for one. */
  async #lookAt({ images, count }: Window): Promise<Looked> {
    if (count < this.#first) return { found: FEW };
    if (this.#waiting < this.#patience) return { found: CALM };
    return this.#follower.follow({ images, count, balanced: false });
  }

  /** The same at the memory's, from which it learns, too. */
  async #lookAtMemory(): Promise<string> {
    const { frames: images, size: count } = this.#bank;
    const { found } = await this.#follower.follow({ images, count, balanced: true });
    if (descends(found)) await this.#descend(images, count);
    return found;
  }

  #looked(found: string, count: number): void {
    this.#waiting = 0;
    // A look at a few frames that finds nothing is no reason to look less often.
    if (count >= this.#numbers.memory || found !== 'no drift') this.#calm.looked(found !== 'no drift');
  }

  /** The call's logits where the latest frames have been followed: what is in use now, and a little of their own passes. */
  async #followed({ images, count, places }: Window, { logits: own }: Followed): Promise<Float32Array> {
    const { classes } = this.#learner;
    const all = mixture(await this.#descend(images, count), own, this.#numbers.ownPass, classes);
    const logits = new Float32Array(places.length * classes);
    for (const [n, place] of places.entries()) {
      logits.set(all.subarray(place * classes, (place + 1) * classes), n * classes);
    }
    return logits;
  }

  /** Step 4: the logits before the update. */
  async #descend(images: Uint8Array, count: number): Promise<Float32Array> {
    const { learningRate, anchor } = this.#numbers;
    const { classes } = this.#learner;
    if (learningRate === 0 || this.#learner.trained.length === 0) return this.#learner.predict(images, count);
    const logits = new Float32Array(count * classes);
    let learnt = false;
    for (const { images: part, count: n, from } of this.#passes(images, count)) {
      const z = await this.#learner.forwardHeld(part, n);
      logits.set(z, from * classes);
      const p = softmax(z, classes);
      const h = entropies(p, classes);
      const weights = this.#filter.weigh(p, h).map((weight) => weight / count);
      if (!weights.some((weight) => weight > 0)) continue;
      await this.#learner.descend(entropyGradient(p, h, classes, weights));
      this.#filter.learnt(p, weights);
      learnt = true;
    }
    if (learnt) {
      await this.#learner.update({ learningRate });
      const trained = await this.#learner.read(this.#learner.trained);
      await this.#learner.write(movedTowards(trained, this.#learner.deployed, anchor));
    }
    return logits;
  }

  #remember(images: Uint8Array, logits: Float32Array): void {
    const { classes } = this.#learner;
    for (const [n, label] of argmaxRows(logits, classes).entries()) {
      this.#bank.add(images.subarray(n * this.#frameBytes, (n + 1) * this.#frameBytes), label, 0);
    }
    this.#calm.saw(entropies(softmax(logits, classes), classes));
  }

  #passes(images: Uint8Array, count: number): readonly FramePass[] {
    return inPasses(images.subarray(0, count * this.#frameBytes), count, this.#numbers.pass);
  }
}

/** What a call's look comes to, or why there was none. */
type Looked = Followed | { readonly found: typeof FEW | typeof CALM };

const FEW = 'few frames';
const CALM = 'between looks';

const descends = (found: string): boolean => found === 'drift' || found === 'after drift';

const isFollowed = (look: Looked): look is Followed => descends(look.found);
