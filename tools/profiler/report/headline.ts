/** @file The outcome of a run in words. */
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import type { ProfileRecord } from '../record.ts';
import { changeText, UNKNOWN } from './quantities.ts';

export interface Headline {
  readonly tone: 'good' | 'bad' | 'plain';
  readonly title: string;
  readonly sentences: readonly string[];
}

export function headline(record: ProfileRecord): Headline {
  return { ...verdict(record), sentences: [...ending(record), planSentence(record), ...groupSentence(record)] };
}

/** What the limit counts: the control group where there is one, else the process. Null: nothing was measured. */
function heldBytes({ peak }: ProfileRecord): number | null {
  return peak.cgroupBytes ?? (peak.rssBytes > 0 ? peak.rssBytes : null);
}

function verdict(record: ProfileRecord): Pick<Headline, 'tone' | 'title'> {
  const { outcome, limit } = record;
  const cap = limit.memoryBytes;
  switch (outcome.status) {
    case 'out of memory':
      return { tone: 'bad', title: cap === null ? 'Out of memory' : `Out of memory at ${bytesText(cap)}` };
    case 'failed':
      return { tone: 'bad', title: record.planned === null ? 'Failed before it had a plan' : 'Failed' };
    case 'interrupted':
      return { tone: 'plain', title: 'Interrupted' };
    case 'finished': {
      if (cap === null) return { tone: 'plain', title: 'Finished without a memory cap' };
      const held = heldBytes(record);
      if (held === null) return { tone: 'plain', title: `Finished under a cap of ${bytesText(cap)}` };
      return held <= cap
        ? { tone: 'good', title: `Fits in ${bytesText(cap)}` }
        : { tone: 'bad', title: `Finished, but above its cap of ${bytesText(cap)}` };
    }
  }
}

/** How it ended, where it did not simply finish. */
function ending({ outcome }: ProfileRecord): readonly string[] {
  const { status, exitCode, signal, oomKills } = outcome;
  if (status === 'finished') return [];
  const how = [
    ...(exitCode === null ? [] : [`exit code ${exitCode}`]),
    ...(signal === null ? [] : [`signal ${signal}`]),
    ...(oomKills === null ? [] : [`${oomKills} ${oomKills === 1 ? 'process' : 'processes'} killed for memory`]),
  ];
  return how.length > 0 ? [`It ended with ${how.join(', ')}.`] : [];
}

function planSentence({ planned, peak }: ProfileRecord): string {
  const measured = peak.rssBytes > 0 ? peak.rssBytes : null;
  const had = measured === null ? 'no peak was measured' : `the measured peak is ${bytesText(measured)} (RSS)`;
  if (planned === null) return `Nothing was planned; ${had}.`;
  const plan = `The plan says ${bytesText(planned.totalBytes)} for the whole process`;
  if (measured === null) return `${plan}; ${had}.`;
  return `${plan}; ${had}, ${fromPlan(planned.totalBytes, measured)}.`;
}

function fromPlan(planned: number, measured: number): string {
  if (measured === planned) return 'as planned';
  const change = changeText(planned, measured);
  return change === UNKNOWN ? 'not planned' : `${change.slice(1)} ${measured > planned ? 'above' : 'below'} the plan`;
}

function groupSentence({ limit, peak }: ProfileRecord): readonly string[] {
  if (peak.cgroupBytes === null) return [];
  const held = `The control group held ${bytesText(peak.cgroupBytes)} at most, page cache included`;
  if (limit.memoryBytes === null) return [`${held}.`];
  const free = limit.memoryBytes - peak.cgroupBytes;
  if (free === 0) return [`${held}: all that the cap allows.`];
  return [`${held}: ${bytesText(Math.abs(free))} ${free >= 0 ? 'below' : 'above'} the cap.`];
}
