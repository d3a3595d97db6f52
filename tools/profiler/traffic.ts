/**
 * @file What a planned step has to do at the least: operations, and bytes moved. With measured rates they give the time that no
 * implementation of that op beats on this machine, its roofline.
 */
import { kernelOf } from '../../kernels/index.ts';
import { elements } from '../../runtime/graph/graph.ts';
import { gradientBuffer, type Plan, type PlannedBuffer, type PlannedStep } from '../../runtime/plan/plan.ts';

/** Floating-point operations for one image, as its kernel declares them. */
export function stepFlops(step: PlannedStep): number {
  const { pass, shapes, attributes, dInputs, dParameters } = step;
  const kernel = kernelOf(step);
  if (!kernel) return elements(shapes.output);
  if (pass !== 'backward') return kernel.flops(shapes, attributes);
  const wants = { inputs: dInputs.map((value) => value !== null), parameters: new Set(Object.keys(dParameters)) };
  const gradients = wants.inputs.filter(Boolean).length + wants.parameters.size;
  return kernel.backwardFlops?.(shapes, attributes, wants) ?? Math.max(1, gradients) * kernel.flops(shapes, attributes);
}

/** Bytes of one execution over `images` images: every operand once, gradients of parameters read and written. */
export function stepBytes({ buffers }: Pick<Plan, 'buffers'>, step: PlannedStep, images: number): number {
  const byName = new Map(buffers.map((buffer) => [buffer.name, buffer]));
  const size = (name: string | null): number => {
    const buffer = name === null ? undefined : byName.get(name);
    return buffer ? bytesOf(buffer, images) : 0;
  };
  const gradients = Object.values(step.dParameters).map(gradientBuffer);
  const named = [
    ...step.inputs,
    step.output,
    ...Object.values(step.parameters),
    ...Object.values(step.saved),
    step.dOutput,
    ...step.dInputs,
    ...gradients,
    ...gradients,
  ];
  return named.reduce((sum, name) => sum + size(name), 0);
}

function bytesOf({ bytes, bytesPerImage }: PlannedBuffer, images: number): number {
  return bytesPerImage > 0 ? images * bytesPerImage : bytes;
}

/** Bytes an optimizer's update moves: gradients cleared and read, parameters and states read and written. */
export function updateBytes({ spans }: Pick<Plan, 'spans'>): number {
  return spans.reduce((sum, { bytes, states }) => sum + bytes * (4 + 2 * states.length), 0);
}

/** Operations of the frozen prefix on a whole batch. */
export function prefixFlops(plan: Plan): number {
  const forward = plan.steps.filter(({ pass }) => pass === 'forward');
  return Math.max(0, plan.flops.forward - plan.batch * forward.reduce((sum, step) => sum + stepFlops(step), 0));
}
