/** @file Learning-rate schedules: a factor from 0 to 1 on every group's rate. */

export const scheduleNames = ['cosine', 'constant'] as const;
export type ScheduleName = (typeof scheduleNames)[number];

export interface Schedule {
  readonly name: ScheduleName;
  /** Steps over which the rate rises linearly from 0. */
  readonly warmupSteps: number;
  readonly totalSteps: number;
}

/**
 * Factor of step `step` (from 0). Cosine falls to 0 at the end (Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5,
 * without restarts).
 */
export function rateFactor({ name, warmupSteps, totalSteps }: Schedule, step: number): number {
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  if (name === 'constant') return 1;
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  return 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress)));
}
