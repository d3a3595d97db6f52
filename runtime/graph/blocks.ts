/**
 * @file Blocks, found from the graph alone; no architecture is known by name.
 *
 * A block ends at a border (borders.ts) that is one of:
 *  - a fork or a join, where branches begin or end (ResNet, Inception, the skipping blocks of MobileNet), but for a gate
 *    that multiplies a tensor with something made of it (squeeze-excite);
 *  - inside a chain, the output of a convolution without activation: a linear bottleneck (MobileNetV2 without skip);
 *  - in what is left of a chain, each convolution with its norm and activation; a depthwise one stays with the next.
 * Pieces without a convolution belong to the block before them, a norm alone to the block after it. What stands between the last block and the head and
 * holds a single convolution is the neck; from pooling upwards it is the head, or the last convolution where nothing
 * above it has weights (SqueezeNet).
 */
import { hasActivation } from '../../kernels/activation.ts';
import type { AffineAttributes } from '../../kernels/affine.ts';
import { type Border, borders, forks } from './borders.ts';
import type { Block, BlockRole, Graph, Node } from './graph.ts';

const convOps: ReadonlySet<string> = new Set(['Conv', 'DepthwiseConv', 'GroupedConv']);
const pointwiseOps: ReadonlySet<string> = new Set(['Activation', 'Affine', 'BatchNorm', 'Clip', 'LayerNorm']);
const isConv = (node: Node | undefined): boolean => convOps.has(node?.op ?? '');
const isPointwiseOp = (node: Node | undefined): boolean => pointwiseOps.has(node?.op ?? '');

const known = new WeakMap<Graph, readonly Block[]>();

/** The blocks of a graph from input to output; together they hold every node once. */
export function findBlocks(graph: Graph): readonly Block[] {
  const found = known.get(graph) ?? searchBlocks(graph);
  known.set(graph, found);
  return found;
}

function searchBlocks(graph: Graph): readonly Block[] {
  const { nodes } = graph;
  const headFrom = headStart(nodes);
  const all = borders(graph).filter(({ after }) => after < headFrom - 1);
  const branching = forks(graph);
  const isGate = (after: number): boolean => nodes[after]?.op === 'Mul';
  const isStrong = ({ after, tensor }: Border, i: number): boolean => {
    const joins = new Set(nodes[after]?.inputs).size > 1 && !isGate(after);
    const next = all[i + 1]?.after ?? -1;
    const gated = isGate(next) && nodes[next]?.inputs.includes(tensor) === true;
    return after < 0 || joins || (branching.has(tensor) && !gated);
  };
  let cuts = all.filter(isStrong).map(({ after }) => after + 1);
  const inner = new Set(all.map(({ after }) => after + 1));

  cuts = splitPieces(cuts, headFrom, (from, to) =>
    range(from + 1, to).filter((at) => inner.has(at) && endsLinear(nodes, at)),
  );
  cuts = splitPieces(cuts, headFrom, (from, to) => {
    const chain = range(from + 1, to).every((at) => inner.has(at));
    return chain && !endsLinear(nodes, to) ? convEnds(nodes, from, to) : [];
  });
  const starts = withConvs(nodes, cuts, headFrom);

  const pieces = starts.map((from, i) => nodes.slice(from, starts[i + 1] ?? headFrom));
  const roles = assignRoles(pieces);
  const blocks = pieces
    .filter((piece) => piece.length > 0)
    .map((piece, i) => makeBlock(piece, roles[i] ?? 'block', graph.input));
  const head = nodes.slice(headFrom);
  return uniqueNames(head.length > 0 ? [...blocks, makeBlock(head, 'head', graph.input)] : blocks);
}

/** Numbers names that several blocks share, as repeated stages of one module can. */
function uniqueNames(blocks: readonly Block[]): readonly Block[] {
  const seen = new Map<string, number>();
  return blocks.map((block) => {
    const count = (seen.get(block.name) ?? 0) + 1;
    seen.set(block.name, count);
    return count === 1 ? block : { ...block, name: `${block.name} (${count})` };
  });
}

/** Cuts without those that would leave a piece without a convolution. */
function withConvs(nodes: readonly Node[], cuts: readonly number[], end: number): number[] {
  const starts: number[] = [];
  // A norm before a fork is the first of the block above it (pre-activation); anything else ends the block below.
  let pending: number | null = null;
  cuts.forEach((from, i) => {
    const to = cuts[i + 1] ?? end;
    const piece = nodes.slice(from, to);
    if (i === 0 || piece.some(isConv)) {
      starts.push(pending ?? from);
      pending = null;
    } else if (to < end && piece.every((node) => isPointwiseOp(node)) && piece.some(isNorm)) pending ??= from;
  });
  return starts;
}

const isNorm = ({ parameters }: Node): boolean => parameters.variance !== undefined || parameters.scale !== undefined;

/** Index of the first node above the last convolution and what is fused to it. */
function headStart(nodes: readonly Node[]): number {
  const last = nodes.findLastIndex(isConv);
  let at = last + 1;
  while (isPointwiseOp(nodes[at]) || joinOps.has(nodes[at]?.op ?? '')) at++;
  const hasWeights = nodes.slice(at).some(({ parameters }) => Object.keys(parameters).length > 0);
  return hasWeights || last < 0 ? at : last;
}

const joinOps: ReadonlySet<string> = new Set(['Add', 'Concat', 'ChannelShuffle', 'Distance', 'Mul']);

/** True if position `at` follows a convolution (and norm) without activation, and no norm or activation comes next. */
function endsLinear(nodes: readonly Node[], at: number): boolean {
  const last = nodes[at - 1];
  if (isPointwiseOp(nodes[at]) || !last) return false;
  if (isConv(last)) return true;
  return last.op === 'Affine' && isConv(nodes[at - 2]) && !hasActivation((last as Node<AffineAttributes>).attributes);
}

/** Positions that end a convolution's unit inside a chain; the unit of a depthwise one runs on. */
function convEnds(nodes: readonly Node[], from: number, to: number): number[] {
  return range(from + 1, to).filter((at) => {
    let unit = at - 1;
    while (unit > from && !isConv(nodes[unit])) unit--;
    return isConv(nodes[at]) && nodes[unit]?.op === 'Conv';
  });
}

function splitPieces(cuts: readonly number[], end: number, split: (from: number, to: number) => number[]): number[] {
  return cuts.flatMap((from, i) => [from, ...split(from, cuts[i + 1] ?? end)]);
}

function assignRoles(pieces: readonly (readonly Node[])[]): BlockRole[] {
  const convs = pieces.map((piece) => piece.filter(isConv).length);
  const lastBlock = convs.findLastIndex((count) => count > 1);
  return convs.map((_, i) => (lastBlock >= 0 && i > lastBlock ? 'neck' : 'block'));
}

function makeBlock(nodes: readonly Node[], role: BlockRole, graphInput: string): Block {
  return {
    name: blockName(nodes),
    role,
    nodes: nodes.map(({ name }) => name),
    input: nodes[0]?.inputs[0] ?? graphInput,
    output: nodes.at(-1)?.output ?? graphInput,
  };
}

/** The part of the names that a block's layers share, of its convolutions if not of all; else its first layer's name. */
function blockName(nodes: readonly Node[]): string {
  const layers = nodes.filter((node) => Object.keys(node.parameters).length > 0);
  const names = layers.map(({ name }) => name);
  const shared = sharedPath(names) ?? sharedPath(layers.filter(isConv).map(({ name }) => name));
  return shared ?? names[0] ?? nodes[0]?.name ?? 'block';
}

/** What names have in common, cut at a separator; undefined if that is nothing, a number, or a single name. */
function sharedPath(names: readonly string[]): string | undefined {
  const [first] = names;
  if (first === undefined) return undefined;
  let shared = first;
  for (const name of names) while (!name.startsWith(shared)) shared = shared.slice(0, -1);
  if (shared !== first) shared = shared.replace(/[^/._]*$/, '');
  const trimmed = withoutEchoes(shared.replace(/^[/._]+|[/._]+$/g, ''));
  return trimmed === '' || /^\d+$/.test(trimmed) ? undefined : trimmed;
}

/** `features/features.2/block/block` is how one exporter writes `features.2/block`. */
function withoutEchoes(path: string): string {
  const parts = path.split('/');
  return parts.filter((part, i) => parts[i + 1] !== part && !parts[i + 1]?.startsWith(`${part}.`)).join('/');
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
}
