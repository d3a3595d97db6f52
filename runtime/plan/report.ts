/** @file A plan for people: what trains, what it costs, and whether it fits. */
import { bytesText } from './bytes-text.ts';
import { describe } from './describe.ts';
import type { Plan } from './plan.ts';

/** The readable report; byte for byte the same for the same plan. */
export function planReport(plan: Plan): string {
  const { bytes, prefix } = plan;
  const row = (label: string, value: number, note = ''): string =>
    `  ${label.padEnd(26)}${bytesText(value).padStart(10)}${note === '' ? '' : `  ${note}`}`;
  const verdict = plan.fits
    ? `fits: ${bytesText(plan.budgetBytes - plan.totalBytes)} of the budget stay free`
    : `does not fit: ${bytesText(plan.totalBytes - plan.budgetBytes)} over the budget`;
  const width = Math.max(5, ...plan.blocks.map(({ name }) => name.length));
  const trained = plan.blocks.filter(({ trains }) => trains.length > 0);
  const frozen = plan.blocks.length - trained.length;
  const arena = plan.arenaBytes;
  return [
    `Plan for ${plan.model.name} at ${plan.model.imageSize} px on ${plan.device}`,
    `  ${describe(plan)} --optimizer ${plan.optimizer}, ${plan.classes} classes`,
    `  kept for backward: ${keptText(plan)}`,
    `  frozen: ${frozenText(plan)}; trained: ${plan.trainableParameters} parameters`,
    '',
    `Stored for backward: ${bytesText(plan.storedForBackwardBytes)}`,
    `Peak of the process: ${bytesText(plan.totalBytes)}, budget ${bytesText(plan.budgetBytes)}, ${verdict}`,
    '',
    row('frozen weights', bytes.frozenWeights),
    row('trainable weights', bytes.trainableWeights),
    row('gradients', bytes.gradients),
    row('optimizer state', bytes.optimizer),
    row('saved for backward', bytes.saved),
    row('workspace', bytes.workspace),
    row('running the prefix', bytes.prefixPeak, prefix.nodes > 0 ? `${prefix.batch} image at a time` : ''),
    row('process base and images', bytes.base),
    ...(bytes.adaptation > 0 ? [row('adaptation', bytes.adaptation, 'buffered frames, copies of the model')] : []),
    ...(bytes.loading > 0 ? [row('opening the model', bytes.loading, 'more than training takes')] : []),
    ...(bytes.export > 0 ? [row('writing the model', bytes.export, 'more than training takes')] : []),
    row('total', plan.totalBytes, `arena ${bytesText(arena)}, exact peak ${plan.peakBytes} B`),
    '',
    `${'block'.padEnd(width)}  trains  ${'stored'.padStart(10)}  ${'plain'.padStart(10)}`,
    ...(frozen > 0 ? [`(${frozen} frozen below)`] : []),
    ...trained.map(
      ({ name, trains, storedBytes, plainStoredBytes }) =>
        `${name.padEnd(width)}  ${String(trains.length).padStart(6)}  ${bytesText(storedBytes).padStart(10)}  ` +
        bytesText(plainStoredBytes).padStart(10),
    ),
    '',
    `One step of ${plan.batch}: ${(plan.flops.forward / 1e9).toFixed(2)} GFLOP forward, ` +
      `${(plan.flops.backward / 1e9).toFixed(2)} GFLOP backward`,
    timeText(plan),
    '',
  ].join('\n');
}

function frozenText({ prefix, products }: Plan): string {
  if (products === 'simd') return 'what does not train runs on the arena, without onnxruntime';
  return `${prefix.nodes} nodes up to ${prefix.cut}`;
}

function keptText({ savings }: Plan): string {
  const { activations, tensors, recompute } = savings;
  const parts = [
    tensors === 'float' ? 'float tensors' : '8-bit codes of tensors',
    'one bit of clipping activations',
    activations === 'float' ? '' : `${activations} codes of smooth ones`,
    recompute ? 'insides of trained blocks computed again' : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function timeText({ time }: Plan): string {
  if (!time) return "Predicted time: the device's rates are not known; `devices calibrate` measures them";
  const { stepSeconds, prefixSeconds, forwardSeconds, backwardSeconds, basis } = time;
  const millis = (seconds: number): string => `${(1000 * seconds).toFixed(0)} ms`;
  return (
    `Predicted time: ${millis(stepSeconds)} (prefix ${millis(prefixSeconds)}, forward ${millis(forwardSeconds)}, ` +
    `backward ${millis(backwardSeconds)}); a prediction from a roofline, ${basis}`
  );
}
