/** @file How what the backward pass reads is kept: the choices, what each means, and the order the planner prefers. */
import { kernelOf } from '../../kernels/index.ts';
import { type ActivationSave, activationSaves } from '../../kernels/smooth-activation.ts';
import type { Graph } from '../graph/graph.ts';

/**
 * Outputs are the same to the bit whatever is chosen; gradients are exact with `float` and `float` and approximate
 * otherwise. Clipping activations keep one exact bit always.
 */
export interface Savings {
  /** Inputs of smooth activations: as floats, or as codes of the derivative. */
  readonly activations: ActivationSave;
  /** Every other tensor that is kept: as floats, or as 8-bit codes with a range for each image and 16 channels. */
  readonly tensors: 'float' | '8bit';
  /** Whether each trained block's insides are computed again instead of kept. */
  readonly recompute: boolean;
}

/** What `--save` can say. */
export const saveNames = [
  'mask',
  '2bit',
  '3bit',
  '4bit',
  '8bit',
  'float',
  'auto',
  'mask+8bit',
  '2bit+8bit',
  '3bit+8bit',
  '4bit+8bit',
] as const;
export type SaveName = (typeof saveNames)[number];

/** The `--save` that says it. */
export function saveName({ activations, tensors }: Savings): SaveName {
  const codes = activations === '1bit' ? 'mask' : activations;
  if (tensors === 'float') return codes;
  return codes === 'float' ? '8bit' : `${codes}+8bit`;
}

/** All savings that the planner may choose from, the most precise first, cheaper in time before dearer. */
export function candidateSavings(graph: Graph, save: SaveName, recompute: boolean | 'auto'): readonly Savings[] {
  const wanted = levels(save).flatMap(([activations, tensors]) =>
    (recompute === 'auto' ? [false, true] : [recompute]).map((again) => ({ activations, tensors, recompute: again })),
  );
  if (hasChoice(graph)) return wanted;
  // Without smooth activations the codes are never used: what differs in them alone is one candidate.
  const plain = wanted.map((savings): Savings => ({ ...savings, activations: 'float' }));
  return plain.filter(
    ({ tensors, recompute: again }, i) =>
      plain.findIndex((other) => other.tensors === tensors && other.recompute === again) === i,
  );
}

function levels(save: SaveName): readonly (readonly [ActivationSave, Savings['tensors']])[] {
  if (save === 'auto') {
    // Not below 4 bits: one costs points of accuracy (kernels/README.md), and what it frees is little beside the tensors.
    return [
      ['float', 'float'],
      ['4bit', 'float'],
      ['4bit', '8bit'],
    ];
  }
  if (save === '8bit') return [['float', '8bit']];
  const [codes = '', tensors] = save.split('+');
  const activations = codes === 'mask' ? '1bit' : (codes as ActivationSave);
  return [[activations, tensors === '8bit' ? '8bit' : 'float']];
}

const choices = new WeakMap<Graph, boolean>();

function hasChoice(graph: Graph): boolean {
  const known = choices.get(graph) ?? graph.nodes.some((node) => alternativesOf(node).length > 1);
  choices.set(graph, known);
  return known;
}

type NodeLike = Graph['nodes'][number];

function alternativesOf(node: NodeLike): readonly string[] {
  return kernelOf(node)?.alternatives?.(node.attributes) ?? [];
}

/** Node attributes that say what is kept: the wanted way where the op has it, else the op's own exact one. */
export function withSavings(node: NodeLike, { activations }: Savings, derivative: 'exact' | 'sign'): NodeLike {
  const alternatives = alternativesOf(node);
  if (alternatives.length > 0) {
    const save = alternatives.includes(activations) ? activations : (alternatives[0] ?? activationSaves[0]);
    return node.attributes.save === save ? node : { ...node, attributes: { ...node.attributes, save } };
  }
  if (!('derivative' in node.attributes) || node.attributes.derivative === derivative) return node;
  return { ...node, attributes: { ...node.attributes, derivative } };
}
