/** @file A profile for people: what was planned beside what was measured, and how it ended. */
import { bytesText } from '../../runtime/plan/bytes-text.ts';
import type { CapAttempt, FoundCap } from '../profiler/find-cap.ts';
import type { PlannedRun, ProfileRecord } from '../profiler/record.ts';
import { highest, medianStepMillis } from '../profiler/report/main-figures.ts';
import { textTable } from './text-table.ts';

export function profileText(record: ProfileRecord): string {
  return [comparisonTable(record), '\n', factsTable(record), ...missingLines(record)].join('');
}

/** A line for each attempt of a search, while it goes on. */
export function attemptText({ capBytes, end, millis }: CapAttempt): string {
  return `cap ${bytesText(capBytes)}: ${end}, ${(millis / 1000).toFixed(1)} s`;
}

export function foundCapText({ capBytes, plannedBytes, free, smallest, attempts }: FoundCap): string {
  const share = plannedBytes === null ? '' : `, ${percentOver(capBytes, plannedBytes)} beside the plan`;
  return textTable([
    ['smallest cap', `${bytesText(capBytes)}${share}, held by ${limitName(smallest)}, ${attempts.length} runs`],
    ['planned', plannedBytes === null ? '-' : bytesText(plannedBytes)],
    ['peak without a cap', bytesText(free.peak.rssBytes)],
    ['peak under it', bytesText(smallest.peak.rssBytes)],
    ['time under it', `${(smallest.millis / free.millis).toFixed(2)} times that without`],
  ]);
}

/** What is planned of each kind, and the highest value that was measured. */
function comparisonTable({ planned, peak, samples }: ProfileRecord): string {
  const rows: readonly (readonly [string, number | null, number | null])[] = [
    ['whole process', planned?.totalBytes ?? null, peak.rssBytes],
    ['arena', planned?.arenaBytes ?? null, peak.arenaBytes],
    ['proportional (PSS)', null, peak.pssBytes],
    ['control group', null, peak.cgroupBytes],
    ['  of it page cache', null, highest(samples, ({ pageCacheBytes }) => pageCacheBytes)],
    ['anonymous', null, highest(samples, ({ anonymousBytes }) => anonymousBytes)],
    ['code and mapped files', null, highest(samples, ({ fileBytes }) => fileBytes)],
    ['JavaScript heap', null, highest(samples, ({ heapBytes }) => heapBytes)],
  ];
  const cells = rows.map(([label, plan, measured]) => [
    ...[label, plan === null ? '-' : bytesText(plan), measured === null ? '-' : bytesText(measured)],
    plan === null || measured === null ? '' : percentOver(measured, plan),
  ]);
  return textTable([['', 'planned', 'measured', ''], ...cells, ...partRows(planned)], [1, 2, 3]);
}

/** Parts of the plan's total, which no measurement tells apart. */
function partRows(planned: PlannedRun | null): string[][] {
  if (planned === null) return [];
  return Object.entries(planned.bytes)
    .filter(([, bytes]) => bytes > 0)
    .map(([name, bytes]) => [`  planned: ${words(name)}`, bytesText(bytes), '', '']);
}

const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function factsTable(record: ProfileRecord): string {
  const { machine, limit, marks, energy, millis } = record;
  const first = marks.find(({ kind }) => kind === 'step');
  const stepMillis = medianStepMillis(marks);
  const rows: readonly (readonly [string, string | null])[] = [
    ['outcome', outcomeText(record)],
    ['held by', `${limitName(record)}${limit.profile === null ? '' : `, as ${limit.profile}`}`],
    ...limit.refused.map((reason, n) => [n === 0 ? 'refused' : '', reason] as const),
    ['time', `${(millis / 1000).toFixed(2)} s`],
    ['to the first step', first === undefined ? null : `${(first.at / 1000).toFixed(2)} s`],
    ['a step', stepMillis === null ? null : `${stepMillis.toFixed(1)} ms (median)`],
    ['energy', energy && `${energy.joules.toFixed(2)} J (${energy.source})${perStep(energy.joulesPerStep)}`],
    ['machine', `${machine.board ?? machine.processor}, ${machine.cores} cores, ${machine.system}`],
    ['power mode', machine.powerMode],
    ['commit', machine.commit],
  ];
  return textTable(rows.flatMap(([label, value]) => (value === null ? [] : [[label, value]])));
}

const perStep = (joules: number | null): string => (joules === null ? '' : `, ${joules.toFixed(3)} J a step`);

function outcomeText({ outcome, limit }: ProfileRecord): string {
  const { status, exitCode, signal, oomKills } = outcome;
  if (status === 'finished') return status;
  const how = signal === null ? `exit code ${exitCode}` : signal;
  if (status !== 'out of memory') return `${status} (${how})`;
  const cap = limit.memoryBytes === null ? '' : ` under a cap of ${bytesText(limit.memoryBytes)}`;
  return `${status}${cap} (${how}${oomKills === null ? '' : `, ${oomKills} processes killed`})`;
}

function limitName({ limit: { kind, memoryBytes, cpus, cores } }: ProfileRecord): string {
  const parts = [
    memoryBytes === null ? '' : bytesText(memoryBytes),
    cpus === null ? '' : `CPU time of ${cpus} cores`,
    cores === null ? '' : `${cores} cores`,
  ];
  const caution = kind === 'watchdog' ? ' (looks at resident memory now and then; no limit of the kernel)' : '';
  const all = parts.filter(Boolean).join(', ');
  return `${kind === 'none' ? 'nothing' : kind}${all === '' ? '' : `: ${all}`}${caution}`;
}

function missingLines({ missing }: ProfileRecord): string[] {
  return missing.length === 0 ? [] : ['\nnot measured:\n', ...missing.map((reason) => `  ${reason}\n`)];
}

const percentOver = (value: number, of: number): string => {
  const over = 100 * (value / of - 1);
  return `${over >= 0 ? '+' : ''}${over.toFixed(1)} %`;
};
