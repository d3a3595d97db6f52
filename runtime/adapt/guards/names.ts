/** @file The guards by name. */

/**
 * What keeps edgeshift's default method from harm; each can be switched off.
 * - `filter`: only frames that are certain, and not what was learnt already, are descended on (EATA's filters).
 * - `skew`: frames of few classes do not move the norms' statistics, which would take the classes for the world.
 * - `drift`: where the statistics have not moved, nothing is updated.
 * - `memory`: where the latest frames are of few classes, a class-balanced memory of earlier ones is followed instead.
 * - `collapse`: where predictions lose the variety that the frozen twin's have, the model goes back to the deployed one.
 * - `no-harm`: where the frozen twin tells more about the same frames, the model goes back to the last good snapshot.
 */
export const guardNames = ['filter', 'skew', 'drift', 'memory', 'collapse', 'no-harm'] as const;
export type GuardName = (typeof guardNames)[number];
