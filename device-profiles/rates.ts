/**
 * @file The two rates of a roofline from a profile: measured on the device, or a share of its published peaks.
 */
import type { Rates } from '../runtime/plan/plan.ts';
import type { DeviceProfile } from './schema.ts';

/**
 * Share of a published peak that the engine is taken to reach.
 *
 * An assumption, not a measurement of any board: STREAM commonly reports 50 to 80 % of a DDR interface's wire rate, and
 * matrix products of the sizes met in training reach about as much of the FMA peak. `edgeshift devices calibrate` on the
 * board replaces it.
 */
export const ASSUMED_EFFICIENCY = 0.5;

/**
 * Rates of a device for the planner's predictions.
 *
 * A bandwidth that was measured is used as it stands: it already is what programs reach. Where calibrated, `bytesPerSecond`
 * is the rate of the SIMD kernels, which are what passes over memory in a training step.
 *
 * @returns null if neither calibrated rates nor both peaks are known; nothing is guessed then.
 */
export function rooflineRates(profile: DeviceProfile): Rates | null {
  const { rates, cpuFlopsPerSecond: flops, memoryBandwidthBytesPerSecond: bandwidth } = profile;
  if (rates) {
    return {
      flopsPerSecond: rates.gemmFlopsPerSecond.value,
      bytesPerSecond: rates.simdBytesPerSecond.value,
      basis: 'calibrated on the device',
    };
  }
  if (!flops || !bandwidth) return null;
  const measured = bandwidth.kind === 'measured';
  const percent = `${ASSUMED_EFFICIENCY * 100} %`;
  return {
    flopsPerSecond: flops.value * ASSUMED_EFFICIENCY,
    bytesPerSecond: bandwidth.value * (measured ? 1 : ASSUMED_EFFICIENCY),
    basis: measured
      ? `assumed: ${percent} of the CPU's peak; memory bandwidth as measured`
      : `assumed: ${percent} of the CPU's peak and of the memory bandwidth`,
  };
}
