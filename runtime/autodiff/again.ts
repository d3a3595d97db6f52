/** @file Runs of nodes that are computed again in the backward pass: what they start from and which of them are needed. */
import type { NodePlan } from './node-plans.ts';

/** Tensors from outside that the needed nodes of a run read, each with its first reader. */
export function entriesOf(run: readonly NodePlan[]): readonly { readonly tensor: string; readonly node: string }[] {
  const made = new Set(run.map(({ node }) => node.output));
  const entries = new Map<string, string>();
  for (const { node } of neededAgain(run)) {
    for (const input of node.inputs) if (!made.has(input) && !entries.has(input)) entries.set(input, node.name);
  }
  return [...entries].map(([tensor, node]) => ({ tensor, node }));
}

/** The nodes of a run that make something a backward rule of the run reads, in order. */
export function neededAgain(run: readonly NodePlan[]): readonly NodePlan[] {
  const needed = new Set<string>();
  for (const { node, saves } of run) {
    for (const save of saves) {
      if (save.kind === 'input') needed.add(node.inputs[save.index] ?? '');
      if (save.kind === 'output') needed.add(node.output);
    }
  }
  const kept = run.toReversed().filter(({ node, saves }) => {
    if (!needed.has(node.output) && !saves.some(({ kind }) => kind === 'own')) return false;
    for (const input of node.inputs) needed.add(input);
    return true;
  });
  return kept.reverse();
}
