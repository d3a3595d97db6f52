/**
 * @file The record of one profiled run: everything that was planned, limited and measured, as plain data. Reports and comparisons
 * are made from it alone. Bytes, milliseconds, joules and degrees Celsius; times count from the start of the command.
 */
import type { PlannedBytes, Rates } from '../../runtime/plan/plan.ts';

export interface ProfileRecord {
  readonly format: 'edgeshift profile';
  readonly version: 1;
  /** What ran, as after `edgeshift`. */
  readonly command: readonly string[];
  /** ISO 8601, by the wall clock. */
  readonly startedAt: string;
  readonly millis: number;
  readonly machine: Machine;
  /** What the machine can do, the roof of its roofline; null where it is not known. */
  readonly rates: Rates | null;
  readonly limit: Limit;
  readonly outcome: Outcome;
  /** Null where the command stopped before it had a plan. */
  readonly planned: PlannedRun | null;
  readonly peak: Peak;
  /** In the order of time. */
  readonly samples: readonly Sample[];
  readonly marks: readonly Mark[];
  /** Where the time of training went, a line for each of the plan's steps; empty if the command does not say. */
  readonly steps: readonly StepTime[];
  /** Null where nothing on this machine measures it. */
  readonly energy: Energy | null;
  /** Null where the run was too short to tell. */
  readonly profiler: ProfilerCost | null;
  /** What the record says nothing about and why, a sentence each. */
  readonly missing: readonly string[];
}

export interface Machine {
  /** Host's kernel, such as `Linux 6.1.0 x64`. */
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Board as device-profiles detects it; null where it is none of them. */
  readonly board: string | null;
  /** The board's own name of its power mode. */
  readonly powerMode: string | null;
  /** Commit of the checkout; null for an installed package. */
  readonly commit: string | null;
  /** By name: `edgeshift`, `node`, `onnxruntime-node`. */
  readonly versions: Readonly<Record<string, string>>;
}

export type LimitKind = 'cgroup v2' | 'cgroup v1' | 'systemd scope' | 'watchdog' | 'none';

/** What held the command. */
export interface Limit {
  readonly kind: LimitKind;
  readonly memoryBytes: number | null;
  /** CPU time in cores; null: not limited. */
  readonly cpus: number | null;
  /** Cores it may run on; null: all. */
  readonly cores: number | null;
  /** Device profile whose limits these are. */
  readonly profile: string | null;
  /** Kinds that were tried before this one, and why each could not be had. */
  readonly refused: readonly string[];
}

export interface Outcome {
  readonly status: 'finished' | 'failed' | 'out of memory' | 'interrupted';
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Processes killed by the kernel for memory inside the limit; null where nothing counts them. */
  readonly oomKills: number | null;
  /** Last lines of the command's standard error; empty if it finished. */
  readonly errorText: string;
}

export interface PlannedRun {
  readonly model: string;
  readonly scheme: string;
  readonly batch: number;
  readonly microBatch: number;
  readonly threads: number;
  readonly budgetBytes: number;
  /** Predicted peak of the whole process: the sum of `bytes`. */
  readonly totalBytes: number;
  readonly bytes: PlannedBytes;
  /** The arena's planned peak. */
  readonly arenaBytes: number;
  readonly blocks: readonly { readonly name: string; readonly storedBytes: number }[];
  /** Buffers alive when the arena is fullest, largest first. */
  readonly atPeak: readonly { readonly name: string; readonly category: string; readonly bytes: number }[];
  /** Planned step during which the arena is fullest, such as `backward MatMul features.17`. */
  readonly peakStep: string;
}

/** Highest values of the whole run. Null: not measured here. */
export interface Peak {
  /** VmHWM of the command's process. */
  readonly rssBytes: number;
  readonly pssBytes: number | null;
  /** All of the command's processes, as the control group counts them (with page cache). */
  readonly cgroupBytes: number | null;
  /** Highest byte of the arena any step has touched. */
  readonly arenaBytes: number | null;
}

export interface Sample {
  /** Since the start. */
  readonly at: number;
  /** Of the command's process and those it started. */
  readonly rssBytes: number;
  /** Anonymous memory of the same. */
  readonly anonymousBytes: number;
  /** Mapped files of the same: code, model. */
  readonly fileBytes: number;
  readonly pssBytes: number | null;
  readonly cgroupBytes: number | null;
  /** Files cached in the group's name. */
  readonly pageCacheBytes: number | null;
  /** JavaScript heap in use, as the command reports it. */
  readonly heapBytes: number | null;
  /** Share of the last ten seconds in which some task waited for memory (PSI `some avg10`), 0 to 1. */
  readonly pressure: number | null;
  readonly watts: number | null;
  /** Hottest zone. */
  readonly celsius: number | null;
  /** Mean over the cores. */
  readonly megahertz: number | null;
}

/** What was done about memory that was short (runtime/governor). */
export type GovernorMark = 'shrunk' | 'paused' | 'resumed' | 'grown';

/** Something the command did. */
export interface Mark {
  readonly at: number;
  readonly kind: 'planned' | 'opened' | 'step' | 'epoch' | 'evaluated' | 'exported' | 'finished' | GovernorMark;
  /** Number of the step or epoch, from 1; 0 for others. */
  readonly number: number;
  /** What it took; null where it is a moment. */
  readonly millis: number | null;
}

export interface StepTime {
  readonly pass: 'prefix' | 'forward' | 'backward' | 'optimizer';
  readonly op: string;
  readonly node: string;
  readonly block: string;
  /** Median or mean of one training step. */
  readonly millis: number;
  /** Read plus written. */
  readonly bytes: number;
  readonly flops: number;
}

export interface Energy {
  /** What measured it, such as `INA3221 VDD_IN`, `RAPL package-0`, `FNIRSI FNB58`. */
  readonly source: string;
  readonly joules: number;
  /** Per training step or frame; null where none was done. */
  readonly joulesPerStep: number | null;
}

/** What the profiler's own process took while it watched, beside the command and outside of its limit. */
export interface ProfilerCost {
  /** Processor time as a share of one core. */
  readonly cpuShare: number;
  /** Most of JavaScript heap and buffers above what they were when the command started, garbage included. */
  readonly bytes: number;
}
