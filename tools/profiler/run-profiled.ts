/** @file One run of a command under a limit, watched from its start to its end. */
import { performance } from 'node:perf_hooks';
import type { Rates } from '../../runtime/plan/plan.ts';
import { Launched } from './launched.ts';
import { affinity } from './limits/affinity.ts';
import { chooseLimit, type HeldKind, limitKinds } from './limits/choose.ts';
import type { Holder } from './limits/limit.ts';
import { describeMachine } from './machine.ts';
import { Heard } from './messages.ts';
import { outcomeOf } from './outcome.ts';
import { openIna3221 } from './probes/ina3221.ts';
import { firstSource, type PowerSource } from './probes/power-source.ts';
import { openRapl } from './probes/rapl.ts';
import type { Energy, Limit, Mark, ProfileRecord, Sample } from './record.ts';
import { Sampler } from './sampler.ts';
import { Thinned } from './thinned.ts';

export interface WantedLimit {
  readonly memoryBytes: number | null;
  /** CPU time in cores; may be a fraction. */
  readonly cpus: number | null;
  readonly cores: number | null;
  /** Device profile that the figures come from. */
  readonly profile: string | null;
}

/** Whoever looks on while a command is profiled. */
export interface Onlooker {
  /** @param tick what the command tells of itself, for a live page */
  told(tick: object): void;
  sampled(sample: Sample): void;
  ended(outcome: ProfileRecord['outcome']): void;
}

export interface ProfileRequest {
  /** What runs, as after `edgeshift`. */
  readonly command: readonly string[];
  /** Program and arguments that `command` is appended to. */
  readonly program: readonly string[];
  readonly limit: WantedLimit;
  /** Of this machine, for the record; default: not known. */
  readonly rates?: Rates | null;
  /** Kinds of limits to try, in their order; default: all. */
  readonly kinds?: readonly HeldKind[];
  /** Between two looks at the command's memory; default 50. */
  readonly intervalMillis?: number;
  /** Measures energy in place of the machine's own sensors; closed by whoever opened it. */
  readonly power?: PowerSource;
  /** Default: nobody. */
  readonly onlooker?: Onlooker;
  /** Nothing of what the command writes is shown. */
  readonly quiet?: boolean;
  /** Asks the command to end, by SIGINT. */
  readonly signal?: AbortSignal;
  /** After which the command is killed; default: never. */
  readonly timeLimitMillis?: number;
  /** Folder that holds `proc` and `sys`; default `/`. */
  readonly root?: string;
}

const DEFAULT_INTERVAL_MILLIS = 50;
/** Marks of steps kept. */
const MOST_MARKS = 4000;

/** Code that other processes have in use is counted where it was first read. */
const CACHED_BEFORE = 'the control group does not count files that were cached before, such as the code of Node';

/**
 * Runs a command in a fresh process and records it. What the command does is data: it may fail or be killed.
 * @throws ExecutionError if it cannot be started; Refused if none of `kinds` can be had
 */
export async function runProfiled(request: ProfileRequest): Promise<ProfileRecord> {
  const { command, limit: wanted, rates = null, root = '/', kinds = limitKinds } = request;
  const machine = await describeMachine(root);
  const source = request.power ? { probe: request.power } : firstSource([openIna3221(root), openRapl(root)]);
  const power = 'probe' in source ? source.probe : null;
  const cores = affinity(wanted.cores, root);
  const { holder, refused } = await chooseLimit(wanted, root, kinds);
  await using held = holder;
  const startedAt = new Date().toISOString();
  const watched = await watch(request, held, held.wrap(cores.wrap([...request.program, ...command])), power);
  if (power !== null && power !== request.power) power.close();
  const { heard, sampler, marks, steps } = watched;
  request.onlooker?.ended(watched.outcome);
  const limit: Limit = {
    kind: held.kind,
    memoryBytes: held.kind === 'none' ? null : wanted.memoryBytes,
    ...{ cpus: held.cpus, cores: cores.cores, profile: wanted.profile, refused },
  };
  return {
    ...{ format: 'edgeshift profile', version: 1, command, startedAt, millis: watched.millis, machine, rates, limit },
    outcome: watched.outcome,
    planned: heard.planned,
    peak: {
      rssBytes: Math.max(sampler.peakRssBytes, heard.rssBytes ?? 0),
      pssBytes: sampler.peakPssBytes,
      cgroupBytes: sampler.peakGroupBytes,
      arenaBytes: heard.arenaBytes,
    },
    ...{ samples: sampler.samples(), marks, steps: heard.steps },
    energy: energyOf(sampler, power, steps),
    profiler: sampler.cost,
    missing: [
      ...('missing' in source ? [source.missing] : (power?.missing?.() ?? [])),
      ...(cores.missing === null ? [] : [cores.missing]),
      ...(wanted.cpus !== null && held.cpus === null ? [`a ${held.kind} does not limit CPU time here`] : []),
      ...sampler.missing,
      ...(sampler.peakGroupBytes === null ? [] : [CACHED_BEFORE]),
      ...silences(heard),
    ],
  };
}

interface Watched {
  readonly heard: Heard;
  readonly sampler: Sampler;
  readonly marks: readonly Mark[];
  /** Steps marked, those thinned out included. */
  readonly steps: number;
  readonly millis: number;
  readonly outcome: ProfileRecord['outcome'];
}

async function watch(
  {
    quiet = false,
    signal,
    timeLimitMillis,
    root = '/',
    intervalMillis = DEFAULT_INTERVAL_MILLIS,
    onlooker,
  }: ProfileRequest,
  holder: Holder,
  commandLine: readonly string[],
  power: PowerSource | null,
): Promise<Watched> {
  const startedMillis = performance.now();
  const marks = new Marks(startedMillis);
  const heard = new Heard(
    (mark) => marks.add(mark),
    (tick) => onlooker?.told(tick),
  );
  await using launched = await Launched.start(commandLine, { quiet, live: onlooker !== undefined });
  const spoken = heard.listen(launched.pipe);
  const stop = (): void => launched.signal('SIGINT');
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  let isLate = false;
  const late = setTimeout(() => {
    isLate = true;
    launched.signal('SIGKILL');
  }, timeLimitMillis);
  if (timeLimitMillis === undefined) clearTimeout(late);
  const group = await holder.started(launched.pid);
  const heapBytes = (): number | null => heard.heapBytes;
  const { pid } = launched;
  const onSample = onlooker && ((sample: Sample) => onlooker.sampled(sample));
  const sampler = new Sampler({ root, pid, group, power, intervalMillis, startedMillis, heapBytes, onSample });
  sampler.start();
  const ended = await launched.ended;
  const millis = performance.now() - startedMillis;
  clearTimeout(late);
  signal?.removeEventListener('abort', stop);
  await sampler.stop();
  await launched.drain();
  await spoken;
  const wasStopped = isLate || signal?.aborted === true;
  const outcome = outcomeOf(ended, { holder, wasStopped, errorText: launched.errorText });
  return { heard, sampler, marks: marks.values(), steps: marks.steps, millis, outcome };
}

/** What the command did and when; marks of steps are thinned out, the others are few. */
class Marks {
  readonly #startedMillis: number;
  readonly #others: Mark[] = [];
  readonly #steps = new Thinned<Mark>(MOST_MARKS, (_, later) => later);
  steps = 0;

  constructor(startedMillis: number) {
    this.#startedMillis = startedMillis;
  }

  add(mark: Omit<Mark, 'at'>): void {
    const stamped = { at: performance.now() - this.#startedMillis, ...mark };
    if (mark.kind !== 'step') {
      this.#others.push(stamped);
      return;
    }
    this.steps += 1;
    // The first one tells how long the start took.
    if (this.steps === 1) this.#others.push(stamped);
    else this.#steps.add(stamped);
  }

  values(): readonly Mark[] {
    return [...this.#others, ...this.#steps.values()].sort((a, b) => a.at - b.at);
  }
}

function energyOf({ energy }: Sampler, power: PowerSource | null, steps: number): Energy | null {
  if (energy === null || power === null) return null;
  const { joules } = energy;
  return { source: power.name, joules, joulesPerStep: steps > 0 ? joules / steps : null };
}

function silences({ planned, heapBytes, arenaBytes, steps, garbled }: Heard): string[] {
  return [
    ...(planned === null ? ['the command told no plan'] : []),
    ...(heapBytes === null ? ['the command told nothing of its JavaScript heap'] : []),
    ...(arenaBytes === null ? ['the command told nothing of its arena'] : []),
    ...(steps.length === 0 ? ['the command did not tell the time of each step of the plan'] : []),
    ...(garbled > 0 ? [`${garbled} lines of the command could not be understood`] : []),
  ];
}
