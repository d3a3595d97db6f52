/** @file The work of a planned step as a bench measures it: operations, bytes, and what it can be compared with. */
import { conv, isPointwise } from '../../kernels/conv.ts';
import type { WindowAttributes } from '../../kernels/window.ts';
import { elements, type Shape } from '../../runtime/graph/graph.ts';
import type { Plan, PlannedStep } from '../../runtime/plan/plan.ts';
import { stepBytes, stepFlops } from '../profiler/traffic.ts';

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
