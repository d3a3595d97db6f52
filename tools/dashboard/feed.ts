/** @file What turns a command's events into ticks. */
import type { GovernorEvent } from '../../runtime/governor/governor.ts';
import { describe } from '../../runtime/plan/describe.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import type { Ended, Planned, Point, Tick } from './tick.ts';

/** Between two ticks. */
export const TICK_MILLIS = 500;

/** What a look at the memory adds to a point. */
export type MemoryPart = Pick<Point, 'rssBytes' | 'groupBytes' | 'heapBytes'>;

export interface Feed {
  /** What was done about memory, and why. */
  governed(event: GovernorEvent): void;
  /** What has come together since the last tick. @param at milliseconds since the run began, later than the last one */
  tick(at: number, memory: MemoryPart, ended: Ended | null): Tick;
}

/** Of a plan, what is shown. */
export function plannedOf(plan: Plan): Planned {
  return { text: describe(plan), totalBytes: plan.totalBytes, arenaBytes: plan.peakBytes };
}

/** The cap that holds: the smaller one; null where neither is known. */
export function smallerCap(budgetBytes: number, limitBytes: number | null): number | null {
  const cap = Math.min(budgetBytes, limitBytes ?? Number.POSITIVE_INFINITY);
  return Number.isFinite(cap) ? cap : null;
}

/** `value` under `name`, or nothing. */
export function optional<K extends string>(name: K, value: number | undefined): { readonly [N in K]?: number } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [N in K]?: number };
}
