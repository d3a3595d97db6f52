/** @file The schemes by name. */

/**
 * - `head`: the head alone.
 * - `shifts`: norm shifts (or biases) of the trained blocks, and the head.
 * - `mobiletl`: weights and internal norm shifts of the trained blocks, the last norm of each with scale and shift, and
 *   the head (MobileTL, AAAI 2023, figure 2; norms keep their stored statistics here).
 */
export const schemeNames = ['head', 'shifts', 'mobiletl'] as const;
export type SchemeName = (typeof schemeNames)[number];
