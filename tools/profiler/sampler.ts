/**
 * @file Looks at a running command over and over: its memory at every look, what changes slowly or costs more at some of them.
 */

import { GroupMemory } from '../../device-profiles/probes/group-memory.ts';
import { Pressure } from '../../device-profiles/probes/pressure.ts';
import type { Found } from '../../device-profiles/probes/probe.ts';
import type { ControlGroup } from './limits/limit.ts';
import { OwnCost } from './own-cost.ts';
import { Clocks } from './probes/clocks.ts';
import type { PowerReading, PowerSource } from './probes/power-source.ts';
import { Thermal } from './probes/thermal.ts';
import { TreeMemory } from './probes/tree-memory.ts';
import type { ProfilerCost, Sample } from './record.ts';
import { Thinned } from './thinned.ts';

export interface SamplerOptions {
  /** Folder that holds `proc` and `sys`. */
  readonly root: string;
  readonly pid: number;
  readonly group: ControlGroup | null;
  /** Closed by whoever opened it. */
  readonly power: PowerSource | null;
  /** Between two looks; longer where looking takes more processor time than `MOST_SHARE` of it. */
  readonly intervalMillis: number;
  /** By performance.now(): where times of samples begin. */
  readonly startedMillis: number;
  /** JavaScript heap as the command last reported it. */
  readonly heapBytes: () => number | null;
  /** Told of every sample. */
  readonly onSample?: ((sample: Sample) => void) | undefined;
}

/** Share of a core that looking may take. */
const MOST_SHARE = 0.02;
/** Between looks at clocks, temperatures, power, pressure and page cache. */
const SLOW_MILLIS = 200;
/** Between searches for new processes, each the cost of twenty looks. */
const SEARCH_MILLIS = 500;
/** Between two walks over all pages for the proportional size: as a rule, and when there is more memory than ever. */
const PSS_MILLIS = 2000;
const PSS_PEAK_MILLIS = 250;
/** How much more it must be. */
const PSS_PEAK_GROWTH = 1.02;
/** Samples kept; of those merged the one with the most memory stays. */
const MOST_SAMPLES = 4000;

/** What is read at some looks and holds until the next. */
type Slow = Pick<Sample, 'pageCacheBytes' | 'pressure' | 'watts' | 'celsius' | 'megahertz'>;
const nothing: Slow = { pageCacheBytes: null, pressure: null, watts: null, celsius: null, megahertz: null };

export class Sampler {
  /** Why there is no value of some kind, a sentence each. */
  readonly missing: readonly string[];
  readonly #options: SamplerOptions;
  readonly #memory: TreeMemory;
  readonly #group: GroupMemory | null;
  readonly #pressure: Pressure | null;
  readonly #thermal: Thermal | null;
  readonly #clocks: Clocks | null;
  readonly #samples = new Thinned<Sample>(MOST_SAMPLES, (a, b) => (b.rssBytes > a.rssBytes ? b : a));
  #timer: NodeJS.Timeout | null = null;
  #slow: Slow = nothing;
  #slowAt = Number.NEGATIVE_INFINITY;
  #searchedAt = Number.NEGATIVE_INFINITY;
  #pss = { atMillis: Number.NEGATIVE_INFINITY, rssBytes: 0, peakBytes: null as number | null };
  #power: PowerReading | null = null;
  #cpu = process.cpuUsage();
  #lookMillis = 0;
  readonly #ownCost = new OwnCost();
  #cost: ProfilerCost | null = null;

  constructor(options: SamplerOptions) {
    const { root, pid, group } = options;
    const missing: string[] = [];
    const open = <T>(found: Found<T>): T | null => {
      if ('probe' in found) return found.probe;
      missing.push(found.missing);
      return null;
    };
    this.#options = options;
    this.#memory = new TreeMemory(root, pid);
    this.#group = open(GroupMemory.open(group));
    this.#pressure = open(Pressure.open(root, group));
    this.#thermal = open(Thermal.open(root));
    this.#clocks = open(Clocks.open(root));
    if (this.#pressure?.isOwn === false) missing.push("pressure of the command alone: it is the whole system's");
    this.missing = missing;
  }

  start(): void {
    this.#look();
  }

  /** VmHWM of the command's process. */
  get peakRssBytes(): number {
    return this.#memory.peakBytes;
  }

  get peakPssBytes(): number | null {
    return this.#pss.peakBytes;
  }

  get peakGroupBytes(): number | null {
    return this.#group?.peakBytes ?? null;
  }

  get energy(): PowerReading | null {
    return this.#power;
  }

  /** What the watching took, once it is over; null where it was too short to tell. */
  get cost(): ProfilerCost | null {
    return this.#cost;
  }

  samples(): readonly Sample[] {
    return this.#samples.values();
  }

  /** Reads what outlives the command for the last time. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#group?.read();
    await this.#readPower();
    this.#ownCost.look();
    this.#cost = this.#ownCost.value();
    for (const probe of [this.#memory, this.#group, this.#pressure, this.#thermal, this.#clocks]) probe?.close();
  }

  #look(): void {
    const began = performance.now();
    this.#sample(began);
    // What this process has done since the look before, not how long others kept it waiting.
    const { user, system } = process.cpuUsage(this.#cpu);
    this.#cpu = process.cpuUsage();
    this.#lookMillis += ((user + system) / 1000 - this.#lookMillis) / 16;
    const interval = Math.max(this.#options.intervalMillis, this.#lookMillis / MOST_SHARE);
    this.#timer = setTimeout(() => this.#look(), began + interval - performance.now());
  }

  #sample(now: number): void {
    if (now - this.#slowAt >= SLOW_MILLIS) this.#readSlow(now);
    if (now - this.#searchedAt >= SEARCH_MILLIS) {
      this.#searchedAt = now;
      this.#memory.search();
    }
    const memory = this.#memory.read();
    // Its processes are ending.
    if (memory.rssBytes === 0) return;
    const sample: Sample = {
      at: now - this.#options.startedMillis,
      ...memory,
      pssBytes: this.#pssBytes(memory.rssBytes, now),
      cgroupBytes: this.#group?.read() ?? null,
      heapBytes: this.#options.heapBytes(),
      ...this.#slow,
    };
    this.#samples.add(sample);
    this.#options.onSample?.(sample);
  }

  #readSlow(now: number): void {
    this.#slowAt = now;
    this.#ownCost.look();
    this.#slow = {
      pageCacheBytes: this.#group?.pageCacheBytes() ?? null,
      pressure: this.#pressure?.read() ?? null,
      watts: this.#power?.watts ?? null,
      celsius: this.#thermal?.read() ?? null,
      megahertz: this.#clocks?.read() ?? null,
    };
    void this.#readPower();
  }

  async #readPower(): Promise<void> {
    this.#power = (await this.#options.power?.read()) ?? this.#power;
  }

  /** Null at most looks. */
  #pssBytes(rssBytes: number, now: number): number | null {
    const since = now - this.#pss.atMillis;
    const atPeak = since >= PSS_PEAK_MILLIS && rssBytes > PSS_PEAK_GROWTH * this.#pss.rssBytes;
    if (since < PSS_MILLIS && !atPeak) return null;
    const pssBytes = this.#memory.pssBytes();
    const peakBytes = pssBytes === null ? this.#pss.peakBytes : Math.max(pssBytes, this.#pss.peakBytes ?? 0);
    this.#pss = { atMillis: now, rssBytes: Math.max(rssBytes, this.#pss.rssBytes), peakBytes };
    return pssBytes;
  }
}
