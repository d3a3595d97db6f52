/**
 * @file edgeshift: the default method. Norms follow the frames as far as these have drifted, shifts of the top blocks follow the
 * entropy of certain predictions down, and guards decide when neither may happen.
 *
 * Statistics are constants in the backward pass, so that a block keeps one bit an activation (MobileTL) and a call may be cut
 * into passes; the memory is that of one pass. A round
 * 1. takes the statistics m of its frames, normalized by themselves layer by layer,
 * 2. measures the drift D from the statistics in use (norm-drift.ts), averaged over the norms,
 * 3. moves the statistics by w = 1 - e^(-gain D) towards m, at least `least`: a sudden change is followed at once,
 * 4. predicts with them, and descends along the entropy of the frames that pass the filters,
 * and does neither 3 nor the descent of 4 where the drift is below `still`.
 *
 * Numbers: `learningRate` of Adam; `pass` frames a pass; `memory` frames kept and looked at in a round; `blocks` whose shifts
 * train, counted from the top; `gain`, `least` of step 3; `still`: D below which nothing has moved; `skew`,
 * `skewMost`: D of the last norm from which frames count as of few classes (`fewClasses`); `margin`, `redundancy` of the filters;
 * `twinEvery` rounds between looks at the frozen twin. How they were chosen stands in the README.
 */
import { countBlocks } from '../../scheme/scheme.ts';
import type { LateLabel, Outcome } from '../adapter.ts';
import { argmaxRows, crossEntropyGradient, entropies, entropyGradient, softmax } from '../entropy.ts';
import { FrameFilter } from '../guards/filters.ts';
import { compareWithTwin, knowledgeOf } from '../guards/twin.ts';
import type { Learner, Values } from '../learner.ts';
import { balanced, bankBytes, type MemoryBank } from '../memory-bank.ts';
import type { Method, MethodSettings, Running } from '../method.ts';
import { drifts, movedTowards, movingNorms, type NormNames, pooled } from '../norm-drift.ts';

const defaults = {
  learningRate: 1e-3,
  pass: 16,
  memory: 64,
  blocks: 99,
  gain: 40,
  least: 0.05,
  still: 0.002,
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
        name: 'shifts',
        blocks: Math.min(countBlocks(graph), blocks),
        head: false,
        norms: 'moving',
        // The statistics of a pass are read off as they are; how far they count is decided per round.
        momentum: 1,
        reach: 'all',
      },
      optimizer: 'adam',
      microBatch: pass,
    };
  },
  // The memory; the last good snapshot, the model while its twin is asked, and statistics of a round with its passes.
  stateBytes: ({ changing, frame, classes }, settings) => {
    const { memory, pass } = numbersOf(settings);
    return bankBytes({ capacity: memory, frameBytes: frame, classes }) + (4 + Math.ceil(memory / pass)) * changing;
  },
  start: (learner, settings) => new EdgeshiftRun(learner, settings),
};

const numbersOf = ({ numbers }: MethodSettings): Numbers => ({ ...defaults, ...numbers });

/** What a look at frames says of the statistics. */
interface Look {
  readonly found: Values;
  /** D of each norm, from those in use and from the deployed ones. */
  readonly fromUse: readonly number[];
  readonly fromDeployed: readonly number[];
}

class EdgeshiftRun implements Running {
  readonly #learner: Learner;
  readonly #numbers: Numbers;
  readonly #guards: MethodSettings['guards'];
  readonly #norms: readonly NormNames[];
  readonly #statistics: readonly string[];
  readonly #frameBytes: number;
  readonly #bank: MemoryBank;
  readonly #filter: FrameFilter;
  /** Frames since the last round. */
  #waiting = 0;
  /** Rounds that changed the model. */
  #rounds = 0;
  #good: Values;

  constructor(learner: Learner, settings: MethodSettings) {
    this.#learner = learner;
    this.#numbers = numbersOf(settings);
    this.#guards = settings.guards;
    this.#norms = movingNorms(learner.plan);
    this.#statistics = this.#norms.flatMap(({ mean, variance }) => [mean, variance]);
    this.#frameBytes = 3 * learner.plan.model.imageSize ** 2;
    const { memory, margin, redundancy } = this.#numbers;
    this.#bank = balanced({ capacity: memory, frameBytes: this.#frameBytes, classes: learner.classes });
    this.#filter = this.#guards.has('filter')
      ? new FrameFilter(learner.classes, margin, redundancy)
      : new FrameFilter(learner.classes, 1, 1);
    this.#good = learner.deployed;
  }

  async observe(images: Uint8Array, count: number): Promise<Outcome> {
    const { memory } = this.#numbers;
    const own = count >= memory ? await this.#follow(images, count) : 'few frames';
    const logits = await (own === DRIFT ? this.#descend(images, count) : this.#learner.predict(images, count));
    this.#remember(images, logits);
    const isDue = this.#guards.has('memory') && this.#bank.size === memory && this.#waiting >= memory;
    const fromMemory = isDue && (own === 'few frames' || own === 'label shift');
    const found = fromMemory ? await this.#follow(this.#bank.frames, memory) : own;
    if (fromMemory && found === DRIFT) await this.#descend(this.#bank.frames, memory);
    if (own !== 'few frames' || isDue) this.#waiting = 0;
    const verdict = found === DRIFT ? await this.#askTwin() : null;
    const reason = fromMemory ? `memory: ${found}` : found;
    return { logits, updated: found === DRIFT || found === BACK, reason: verdict ?? reason };
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
    this.#good = this.#learner.deployed;
    [this.#waiting, this.#rounds] = [0, 0];
  }

  save(): Readonly<Record<string, Float32Array>> {
    const good = [...this.#good].map(([name, values]) => [`good ${name}`, values.slice()] as const);
    return {
      ...this.#bank.save(),
      filter: this.#filter.save(),
      counts: Float32Array.of(this.#waiting, this.#rounds),
      ...Object.fromEntries(good),
    };
  }

  load(state: Readonly<Record<string, Float32Array>>): void {
    this.#bank.load(state);
    this.#filter.load(state.filter ?? new Float32Array());
    [this.#waiting, this.#rounds] = [state.counts?.[0] ?? 0, state.counts?.[1] ?? 0];
    this.#good = new Map(
      [...this.#learner.deployed].map(([name, values]) => [name, state[`good ${name}`]?.slice() ?? values] as const),
    );
  }

  /** Step 1 to 3 of a round; says what came of it. */
  async #follow(images: Uint8Array, count: number): Promise<string> {
    const { still, gain, least } = this.#numbers;
    const inUse = await this.#learner.read(this.#statistics);
    const look = await this.#look(images, count, inUse);
    if (this.#guards.has('skew') && fewClasses(look, this.#numbers)) {
      // Nothing can be learnt from them but this: the world may be the deployed one again. The first norm's input is the same
      // whatever has been adapted.
      if ((look.fromDeployed[0] ?? 0) >= RETURN * (look.fromUse[0] ?? 0)) return 'label shift';
      await this.#learner.reset();
      return BACK;
    }
    const drift = mean(look.fromUse);
    if (this.#guards.has('drift') && drift < still) return 'no drift';
    const weight = Math.max(least, 1 - Math.exp(-gain * drift));
    await this.#learner.write(movedTowards(inUse, look.found, weight));
    return DRIFT;
  }

  async #look(images: Uint8Array, count: number, inUse: Values): Promise<Look> {
    const passes: Values[] = [];
    for (const { part, n } of this.#passes(images, count)) {
      // A short rest would count as much as a whole pass.
      if (n < this.#numbers.pass && passes.length > 0) break;
      await this.#learner.forward(part, n);
      passes.push(await this.#learner.read(this.#statistics));
    }
    await this.#learner.write(inUse);
    const found = pooled(this.#norms, passes);
    return {
      found,
      fromUse: drifts(this.#norms, found, inUse),
      fromDeployed: drifts(this.#norms, found, this.#learner.deployed),
    };
  }

  /** Step 4: the logits before the update. */
  async #descend(images: Uint8Array, count: number): Promise<Float32Array> {
    const { learningRate } = this.#numbers;
    const { classes } = this.#learner;
    if (learningRate === 0 || this.#learner.trained.length === 0) return this.#learner.predict(images, count);
    const logits = new Float32Array(count * classes);
    let learnt = false;
    for (const { part, n, from } of this.#passes(images, count)) {
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
    if (learnt) await this.#learner.update({ learningRate });
    return logits;
  }

  #remember(images: Uint8Array, logits: Float32Array): void {
    const labels = argmaxRows(logits, this.#learner.classes);
    for (const [n, label] of labels.entries()) {
      this.#bank.add(images.subarray(n * this.#frameBytes, (n + 1) * this.#frameBytes), label, 0);
    }
    this.#waiting += labels.length;
  }

  /** Compares with the frozen twin now and then, and goes back if it knows more. Null: nothing was done. */
  async #askTwin(): Promise<string | null> {
    const { twinEvery } = this.#numbers;
    const watching = this.#guards.has('no-harm') || this.#guards.has('collapse');
    this.#rounds += 1;
    if (!watching || this.#rounds % twinEvery !== 0 || this.#bank.size === 0) return null;
    const { classes, deployed } = this.#learner;
    const know = async () =>
      knowledgeOf(softmax(await this.#learner.predict(this.#bank.frames, this.#bank.size), classes), classes);
    const adapted = await know();
    const current = await this.#learner.read();
    await this.#learner.write(deployed);
    const verdict = compareWithTwin(adapted, await know());
    if (verdict === 'collapsed' && this.#guards.has('collapse')) {
      await this.#learner.reset();
      this.#good = deployed;
      return 'collapsed, back to deployed';
    }
    if (verdict === 'worse' && this.#guards.has('no-harm')) {
      // The snapshot once; if that was no better either, the deployed model.
      await this.#learner.write(this.#good);
      await this.#learner.resetOptimizer();
      this.#good = deployed;
      return 'worse than the twin, rolled back';
    }
    await this.#learner.write(current);
    if (verdict === 'fine') this.#good = current;
    return null;
  }

  *#passes(images: Uint8Array, count: number) {
    const { pass } = this.#numbers;
    for (let from = 0; from < count; from += pass) {
      const n = Math.min(pass, count - from);
      yield { part: images.subarray(from * this.#frameBytes, (from + n) * this.#frameBytes), n, from };
    }
  }
}

/**
 * Whether frames are of few classes. A changed world moves the norms from the input on, and each less that stands on corrected
 * ones; few classes move the last ones most.
 */
function fewClasses({ fromUse, fromDeployed }: Look, { skew, skewMost }: Numbers): boolean {
  return [fromUse, fromDeployed].every((d) => {
    const last = d.at(-1) ?? 0;
    const middle = mean(d.slice(Math.floor(d.length / 3), Math.ceil((2 * d.length) / 3)));
    return last > skewMost || (last > skew && last > SKEW_RATIO * middle);
  });
}

const SKEW_RATIO = 3;

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value / values.length, 0);

/** Results of a round after which the model is another. */
const DRIFT = 'drift';
const BACK = 'label shift, back to deployed';

/** How much nearer the deployed statistics must lie to skewed frames than those in use, at the first norm. */
const RETURN = 0.5;
