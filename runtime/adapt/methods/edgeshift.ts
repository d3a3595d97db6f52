/**
 * @file edgeshift: the default method. Norms follow the frames as far as these have drifted; while they do, and for a while after,
 * scales and shifts follow the entropy of certain predictions down; guards decide when neither may happen.
 *
 * Frames are normalized by the statistics in use, and gradients are those of Batch Renormalization, so that a call may be cut into
 * passes of a few frames; the memory is that of one pass. A round
 * 1. takes the statistics m of its frames, normalized by themselves layer by layer,
 * 2. measures the drift D from the statistics in use (norm-look.ts),
 * 3. moves the statistics by w = 1 - e^(-gain D) towards m, at least `least`: a sudden change is followed at once,
 * 4. predicts with them, descends along the entropy of the frames that pass the filters, and draws what trains towards the
 *    deployed values by `anchor` (as ROID does; Marsden et al., WACV 2024), so that one world's corrections do not burden the next.
 * Frames of few classes are not followed, as far as norms (norm-look.ts) and predictions (guards/knowledge.ts) tell; those of a
 * class-balanced memory are looked at instead.
 * Where the drift has been below `still` for `settle` rounds, 3 and 4 are left out, looks become rare (guards/calm.ts), and
 * predictions go through one session of the whole network until something changes.
 *
 * Numbers: `learningRate` of Adam; `pass` frames a pass at most; `memory` frames kept and looked at in a round; `blocks` whose norms
 * train, counted from the top; `gain`, `least` of step 3; `still`: D below which nothing has moved; `settle`; `anchor`; `skew`,
 * `skewMost`: D of the last norm from which frames count as of few classes (norm-look.ts); `margin`, `redundancy` of the filters;
 * `twinEvery` rounds between looks at the frozen twin. How they were chosen stands in the README.
 */
import { countBlocks } from '../../scheme/scheme.ts';
import type { LateLabel, Outcome } from '../adapter.ts';
import { argmaxRows, crossEntropyGradient, entropies, entropyGradient, softmax } from '../entropy.ts';
import { Calm } from '../guards/calm.ts';
import { FrameFilter } from '../guards/filters.ts';
import { doubts, isOfFewClasses, knowledgeOn, knowledgeWith } from '../guards/knowledge.ts';
import { FrozenTwin } from '../guards/twin.ts';
import type { Learner, Values } from '../learner.ts';
import { balanced, bankBytes, type MemoryBank } from '../memory-bank.ts';
import type { Method, MethodSettings, Running } from '../method.ts';
import { movedTowards, movingNorms, type NormNames } from '../norm-drift.ts';
import { type Look, lookAt, ofDeployedWorld, ofFewClasses } from '../norm-look.ts';
import { type FramePass, inPasses } from '../passes.ts';

const defaults = {
  learningRate: 1e-3,
  pass: 7,
  memory: 64,
  blocks: 99,
  gain: 40,
  least: 0.05,
  still: 0.005,
  settle: 32,
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
  // The memory; the last good snapshot, the model while its twin is asked, and statistics of a round with its passes.
  stateBytes: ({ changing, frame, classes }, settings) => {
    const { memory, pass } = numbersOf(settings);
    return bankBytes({ capacity: memory, frameBytes: frame, classes }) + (4 + Math.ceil(memory / pass)) * changing;
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
  readonly #norms: readonly NormNames[];
  readonly #statistics: readonly string[];
  readonly #frameBytes: number;
  readonly #bank: MemoryBank;
  readonly #filter: FrameFilter;
  readonly #calm: Calm;
  readonly #twin: FrozenTwin;
  /** Frames since the last round. */
  #waiting = 0;
  /** Rounds that may still descend without drift. */
  #settling = 0;

  constructor(learner: Learner, settings: MethodSettings) {
    this.#learner = learner;
    this.#numbers = numbersOf(settings);
    this.#guards = settings.guards;
    this.#norms = movingNorms(learner.plan);
    this.#statistics = this.#norms.flatMap(({ mean, variance }) => [mean, variance]);
    this.#frameBytes = 3 * learner.plan.model.imageSize ** 2;
    const { memory, margin, redundancy, twinEvery } = this.#numbers;
    this.#bank = balanced({ capacity: memory, frameBytes: this.#frameBytes, classes: learner.classes });
    this.#filter = this.#guards.has('filter')
      ? new FrameFilter(learner.classes, margin, redundancy)
      : new FrameFilter(learner.classes, 1, 1);
    this.#calm = new Calm(memory);
    this.#twin = new FrozenTwin(learner, { every: twinEvery, guards: this.#guards });
  }

  async observe(images: Uint8Array, count: number): Promise<Outcome> {
    const { memory } = this.#numbers;
    const own = await this.#lookAt(images, count);
    const logits = await (descends(own) ? this.#descend(images, count) : this.#learner.predict(images, count));
    this.#remember(images, logits);
    const fromMemory =
      (own === FEW || own === SKEWED) &&
      this.#guards.has('memory') &&
      this.#bank.size === memory &&
      this.#waiting >= this.#patience;
    const found = fromMemory ? await this.#follow({ images: this.#bank.frames, count: memory, fromMemory }) : own;
    if (fromMemory && descends(found)) await this.#descend(this.#bank.frames, memory);
    if (fromMemory || (own !== FEW && own !== CALM)) {
      this.#waiting = 0;
      this.#calm.looked(found !== STILL);
    }
    const verdict = descends(found) ? await this.#twin.ask(this.#bank.frames, this.#bank.size) : null;
    const reason = fromMemory ? `memory: ${found}` : found;
    return { logits, updated: descends(found) || found === BACK, reason: verdict ?? reason };
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
    this.#bank.clear();
    this.#filter.reset();
    this.#calm.reset();
    this.#twin.reset();
    [this.#waiting, this.#settling] = [0, 0];
  }

  save(): Readonly<Record<string, Float32Array>> {
    return {
      ...this.#bank.save(),
      filter: this.#filter.save(),
      calm: this.#calm.save(),
      counts: Float32Array.of(this.#waiting, this.#settling),
      ...this.#twin.save(),
    };
  }

  load(state: Readonly<Record<string, Float32Array>>): void {
    this.#bank.load(state);
    this.#filter.load(state.filter ?? new Float32Array());
    this.#calm.load(state.calm ?? new Float32Array());
    [this.#waiting, this.#settling] = [state.counts?.[0] ?? 0, state.counts?.[1] ?? 0];
    this.#twin.load(state);
  }

  /** Frames between looks. */
  get #patience(): number {
    return this.#guards.has('drift') ? this.#calm.patience : this.#numbers.memory;
  }

  /** A look at the frames of a call, if they are enough and it is time for one. */
  async #lookAt(images: Uint8Array, count: number): Promise<string> {
    if (count < this.#numbers.memory) return FEW;
    return this.#waiting + count < this.#patience ? CALM : this.#follow({ images, count, fromMemory: false });
  }

  /** Step 1 to 3 of a round; says what came of it. */
  async #follow({ images, count, fromMemory }: Followed): Promise<string> {
    const { still, gain, least, settle } = this.#numbers;
    const inUse = await this.#learner.read(this.#statistics);
    const look = await lookAt(this.#learner, this.#norms, this.#passes(images, count), inUse);
    if (this.#guards.has('skew') && ofFewClasses(look, this.#numbers)) return this.#notFollowed(look);
    const { drift } = look;
    const drifts = drift >= still || !this.#guards.has('drift');
    if (!drifts && this.#settling === 0) {
      await this.#learner.fuse();
      return STILL;
    }
    const weight = Math.max(least, 1 - Math.exp(-gain * drift));
    const moved = movedTowards(inUse, look.found, weight);
    if (drifts && !fromMemory && (await this.#wouldDoubt(look, moved, images, count))) return this.#notFollowed(look);
    await this.#learner.write(moved);
    this.#settling = drifts ? settle : this.#settling - 1;
    return drifts ? DRIFT : SETTLING;
  }

  /** Nothing can be learnt from frames of few classes but whether they are of the deployed world. */
  async #notFollowed(look: Look): Promise<string> {
    if (!ofDeployedWorld(look)) return SKEWED;
    await this.#learner.reset();
    return BACK;
  }

  /** Whether frames of few predicted classes would be doubtful with these statistics, when the model of the nearer world is not. */
  async #wouldDoubt(look: Look, moved: Values, images: Uint8Array, count: number): Promise<boolean> {
    if (!this.#guards.has('skew')) return false;
    const { deployed, classes } = this.#learner;
    const before = ofDeployedWorld(look)
      ? await knowledgeWith(deployed, this.#learner, images, count)
      : await knowledgeOn(this.#learner, images, count);
    if (!isOfFewClasses(before, classes)) return false;
    const after = await knowledgeWith(moved, this.#learner, images, count);
    return doubts(before, after);
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
    const labels = argmaxRows(logits, this.#learner.classes);
    for (const [n, label] of labels.entries()) {
      this.#bank.add(images.subarray(n * this.#frameBytes, (n + 1) * this.#frameBytes), label, 0);
    }
    this.#calm.saw(entropies(softmax(logits, this.#learner.classes), this.#learner.classes));
    this.#waiting += labels.length;
  }

  #passes(images: Uint8Array, count: number): readonly FramePass[] {
    return inPasses(images.subarray(0, count * this.#frameBytes), count, this.#numbers.pass);
  }
}

/** Frames of a round. */
interface Followed {
  readonly images: Uint8Array;
  readonly count: number;
  /** They are of all classes, as far as predictions tell. */
  readonly fromMemory: boolean;
}

/** What a call or a round comes to. */
const FEW = 'few frames';
const CALM = 'no drift lately';
const STILL = 'no drift';
const SKEWED = 'label shift';
const BACK = 'label shift, back to deployed';
const SETTLING = 'after drift';
const DRIFT = 'drift';

const descends = (found: string): boolean => found === DRIFT || found === SETTLING;
