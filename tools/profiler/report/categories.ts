/** @file Names and colours of what memory is planned for. */
import type { PlannedBytes } from '../../../runtime/plan/plan.ts';
import type { Colour } from './chart-data.ts';

export interface Category {
  readonly label: string;
  readonly colour: Colour;
}

/** An amount of memory with its name. */
export interface Part extends Category {
  readonly bytes: number;
}

/** In the order of the bars: what is there before training first. */
const categories: Readonly<Record<keyof PlannedBytes, Category>> = {
  base: { label: 'Process base, images', colour: 6 },
  frozenWeights: { label: 'Frozen weights', colour: 0 },
  trainableWeights: { label: 'Trainable weights', colour: 2 },
  optimizer: { label: 'Optimizer state', colour: 5 },
  gradients: { label: 'Gradients', colour: 3 },
  saved: { label: 'Saved for backward', colour: 1 },
  workspace: { label: 'Workspace', colour: 4 },
  prefixPeak: { label: 'Running the prefix', colour: 0 },
  loading: { label: 'Opening the prefix', colour: 6 },
  adaptation: { label: 'Adaptation', colour: 6 },
  export: { label: 'Writing the model', colour: 6 },
};

/** The planned bytes of a process by category, in order, also those that are 0. */
export function plannedParts(bytes: PlannedBytes): readonly Part[] {
  return (Object.keys(categories) as (keyof PlannedBytes)[]).map((name) => ({
    ...categories[name],
    bytes: bytes[name],
  }));
}

/** Of a buffer of the arena; a category that is not known keeps its own name. */
export function bufferCategory(name: string): Category {
  if (name === 'statistics') return { label: 'Running statistics', colour: 2 };
  return Object.hasOwn(categories, name) ? categories[name as keyof PlannedBytes] : { label: name, colour: 6 };
}
