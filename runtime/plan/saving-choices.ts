/** @file Which savings a graph leaves a choice between, in the order the planner prefers, and what they mean for its nodes. */
import { kernelOf } from '../../kernels/index.ts';
import { type ActivationSave, activationSaves } from '../../kernels/smooth-activation.ts';
import type { Graph } from '../graph/graph.ts';
import type { SaveName, Savings } from './savings.ts';

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
