/** @file What held a command and where it ran, as names and values. */
import type { PlannedRun, ProfileRecord, ProfilerCost } from '../record.ts';
import { durationText, percentText, sizeText, UNKNOWN } from './quantities.ts';

export interface Facts {
  readonly title: string;
  readonly entries: readonly (readonly [name: string, value: string])[];
}

/** In the same order for every record; what does not apply to it is left out. */
export function facts(record: ProfileRecord): readonly Facts[] {
  return [
    { title: 'Run', entries: runFacts(record) },
    { title: 'Limit', entries: limitFacts(record) },
    { title: 'Machine', entries: machineFacts(record) },
    { title: 'Versions', entries: Object.entries(record.machine.versions) },
  ];
}

const text = (value: string | number | null): string => (value === null || value === '' ? UNKNOWN : String(value));

/** The command as it was typed. */
export function commandText(record: ProfileRecord): string {
  return commandWords(record).join(' ');
}

export function commandWords({ command }: ProfileRecord): readonly string[] {
  return ['edgeshift', ...command].map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)));
}

function runFacts(record: ProfileRecord): Facts['entries'] {
  const { outcome, planned, energy, profiler } = record;
  return [
    ['Started', record.startedAt],
    ['Took', durationText(record.millis)],
    ['Outcome', outcome.status],
    ['Exit code or signal', text(outcome.exitCode ?? outcome.signal)],
    ['Killed for memory', text(outcome.oomKills)],
    ...(planned === null ? [] : planFacts(planned)),
    ...(energy === null ? [] : [['Energy measured by', energy.source] as const]),
    ...(profiler === null ? [] : [['Profiler itself', profilerText(profiler)] as const]),
  ];
}

const profilerText = ({ cpuShare, bytes }: ProfilerCost): string =>
  `${percentText(cpuShare)} of a core, ${sizeText(bytes)}`;

function planFacts({ model, scheme, batch, microBatch, threads, budgetBytes }: PlannedRun): Facts['entries'] {
  return [
    ['Model', model],
    ['Scheme', scheme],
    ['Batch', microBatch === batch ? `${batch}` : `${batch}, in micro-batches of ${microBatch}`],
    ['Threads', `${threads}`],
    // A plan without a budget has the largest of numbers.
    ['Budget of the plan', budgetBytes === Number.MAX_SAFE_INTEGER ? 'not limited' : sizeText(budgetBytes)],
  ];
}

const limitKinds: Readonly<Record<ProfileRecord['limit']['kind'], string>> = {
  'cgroup v2': 'cgroup v2',
  'cgroup v1': 'cgroup v1',
  'systemd scope': 'systemd scope',
  watchdog: 'watchdog: reads RSS and stops the command, which can come too late',
  none: 'none',
};

function limitFacts({ limit }: ProfileRecord): Facts['entries'] {
  return [
    ['Kind', limitKinds[limit.kind]],
    ['Memory', limit.memoryBytes === null ? 'not limited' : sizeText(limit.memoryBytes)],
    ['CPU time', limit.cpus === null ? 'not limited' : `${limit.cpus} cores`],
    ['Cores', limit.cores === null ? 'all' : text(limit.cores)],
    ['Device profile', text(limit.profile)],
    ['Could not be had', limit.refused.length === 0 ? UNKNOWN : limit.refused.join('; ')],
  ];
}

/** Enough to find it by. */
const COMMIT_DIGITS = 12;

function machineFacts({ machine }: ProfileRecord): Facts['entries'] {
  return [
    ['System', machine.system],
    ['Processor', machine.processor],
    ['Cores', text(machine.cores)],
    ['Memory', sizeText(machine.memoryBytes)],
    ['Board', text(machine.board)],
    ['Power mode', text(machine.powerMode)],
    ['Commit', text(machine.commit?.slice(0, COMMIT_DIGITS) ?? null)],
  ];
}
