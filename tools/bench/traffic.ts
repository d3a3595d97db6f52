/**
 * @file What a planned step has to do at the least: operations, bytes moved and the matrix products among them. With measured
 * rates they give the time that no implementation of that op beats on this machine, its roofline.
 */
import { conv, isPointwise } from '../../kernels/conv.ts';
import { kernelOf } from '../../kernels/index.ts';
import type { WindowAttributes } from '../../kernels/window.ts';
import { elements, type Shape } from '../../runtime/graph/graph.ts';
import { gradientBuffer, type Plan, type PlannedBuffer, type PlannedStep } from '../../runtime/plan/plan.ts';

/** A product [m, k] x [k, n]. */
export type Product = readonly [m: number, k: number, n: number];

/** A dense convolution whose window is more than a pixel, over a batch. */
export interface Convolution {
  readonly images: number;
  /** `[H, W, C]`. */
  readonly input: Shape;
  /** `[O, kh, kw, I]`. */
  readonly weight: Shape;
  readonly attributes: WindowAttributes;
  /** Of one pass over one image. */
  readonly flops: number;
}

/** Of one execution over `images` images. */
export interface Work {
  readonly flops: number;
  /** Every operand once: what is read plus what is written. */
  readonly bytes: number;
  /** The products of a pointwise convolution or a fully connected layer; none for other ops. */
  readonly products: readonly Product[];
  /** What a k x k convolution is compared with; null for other ops. */
  readonly convolution: Convolution | null;
}

export const productFlops = ([m, k, n]: Product): number => 2 * m * k * n;

/** What one execution of the step over `images` images takes at the least. */
export function stepWork(plan: Pick<Plan, 'buffers'>, step: PlannedStep, images: number): Work {
  return {
    flops: images * stepFlops(step),
    bytes: stepBytes(plan, step, images),
    products: productsOf(step, images),
    convolution: convolutionOf(step, images),
  };
}

/** Floating-point operations for one image, as its kernel declares them. */
function stepFlops(step: PlannedStep): number {
  const { pass, shapes, attributes, dInputs, dParameters } = step;
  const kernel = kernelOf(step);
  if (!kernel) return elements(shapes.output);
  if (pass !== 'backward') return kernel.flops(shapes, attributes);
  const wants = { inputs: dInputs.map((value) => value !== null), parameters: new Set(Object.keys(dParameters)) };
  const gradients = wants.inputs.filter(Boolean).length + wants.parameters.size;
  return kernel.backwardFlops?.(shapes, attributes, wants) ?? Math.max(1, gradients) * kernel.flops(shapes, attributes);
}

/** The buffers that the step names; gradients of parameters are read and written. */
function stepBytes({ buffers }: Pick<Plan, 'buffers'>, step: PlannedStep, images: number): number {
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

/** Forward y = x w; backward dw = dy x and dx = dy w, as far as they are wanted. */
function productsOf(step: PlannedStep, images: number): Product[] {
  const { op, pass, shapes, dInputs, dParameters } = step;
  if (op !== 'Gemm' && !(op === 'Conv' && isPointwise(step.attributes as WindowAttributes))) return [];
  const out = shapes.output.at(-1) ?? 1;
  const rows = (images * elements(shapes.output)) / out;
  const inner = elements(shapes.parameters.weight ?? []) / out;
  if (pass !== 'backward') return [[rows, inner, out]];
  const products: Product[] = [];
  if (dParameters.weight !== undefined) products.push([out, rows, inner]);
  if (typeof dInputs[0] === 'string') products.push([rows, out, inner]);
  return products;
}

function convolutionOf({ op, shapes, attributes }: PlannedStep, images: number): Convolution | null {
  const window = attributes as WindowAttributes;
  if (op !== 'Conv' || isPointwise(window)) return null;
  const { kernel, strides, pads, dilations } = window;
  const flops = conv.flops(shapes, window);
  const [input = []] = shapes.inputs;
  return {
    images,
    input,
    weight: shapes.parameters.weight ?? [],
    attributes: { kernel, strides, pads, dilations },
    flops,
  };
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
