/** @file Where the frozen prefix ends. */
import { kernelOf } from '../../kernels/index.ts';
import { findBlocks } from '../graph/blocks.ts';
import { type Border, borders } from '../graph/borders.ts';
import { type Block, elements, type Graph } from '../graph/graph.ts';

/** The border below everything: nothing is a prefix. */
export const imageBorder = ({ input }: Graph): Border => ({ after: -1, tensor: input });

/**
 * The border below the lowest trained node that costs least to cross: of those inside the node's block the one with
 * the smallest tensor, the latest among equals, because its features are what is handed over, kept and cached.
 */
export function findCut(
  graph: Graph,
  trains: ReadonlySet<string>,
  blocks: readonly Block[] = findBlocks(graph),
): Border {
  const lowest = graph.nodes.findIndex(({ parameters }) => Object.values(parameters).some((name) => trains.has(name)));
  const limit = lowest < 0 ? graph.nodes.length : lowest;
  const below = borders(graph).filter(({ after, tensor }) => after < limit && !graph.synthetic.has(tensor));
  const block = blocks.find(({ nodes }) => nodes.includes(graph.nodes[limit]?.name ?? ''));
  const blockStart = graph.nodes.findIndex(({ name }) => name === block?.nodes[0]);
  // What only onnxruntime can run stays below the cut.
  const lastForeign = graph.nodes.findLastIndex((node, index) => index < limit && !kernelOf(node));
  const inside = below.filter(({ after }) => after >= Math.max(blockStart - 1, lastForeign));
  const size = ({ tensor }: Border): number => elements(graph.shapes.get(tensor) ?? [Number.POSITIVE_INFINITY]);
  let best = inside[0] ?? below.at(-1) ?? imageBorder(graph);
  for (const border of inside) if (size(border) <= size(best)) best = border;
  return best;
}
