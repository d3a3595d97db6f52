/**
 * @file Which parameter of one network is which of another: two versions of a model, perhaps by two exporters.
 *
 * A tensor's name decides where it was given by a person: same name, same role, same shape. What an exporter has numbered, or named
 * otherwise, is found by its place: between two layers that names have found, layers of the same kind follow each
 * other in the same order, counted from either end. A place is believed only if the weights there are alike.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { cosine } from './difference.ts';

export interface Pair {
  /** Names of the parameters in their graphs. */
  readonly from: string;
  readonly to: string;
  readonly by: 'name' | 'place';
  /** Cosine between the values in both; null if either is all zero. */
  readonly likeness: number | null;
}

export interface Matching {
  /** By the name of the parameter in the first graph. */
  readonly pairs: ReadonlyMap<string, Pair>;
  /** Why a parameter of the first graph has no counterpart, by its name. */
  readonly reasons: ReadonlyMap<string, string>;
  /** Node of the second graph that stands for one of the first, by names. */
  readonly nodes: ReadonlyMap<string, string>;
}

/**
 * Weights of one network after more training point the same way (cosines of 0.93 and above where it had moved by a fifth of its norm), those
 * of two networks that never met do not (near 0, the nearer the more values there are).
 */
const LEAST_LIKENESS = 0.5;

/** Pairs the parameters of two networks; shapes are compared in graph layout, which exporters do not choose. */
export function matchParameters(from: Graph, to: Graph): Matching {
  const [one, other] = [layersOf(from), layersOf(to)];
  const found = anchors(from, one, to, other);
  const nodes = new Map([...found].map(([a, b]) => [one[a]?.name ?? '', other[b]?.name ?? '']));
  const named = [...found].flatMap(([a, b]) => pairsOf(from, one[a], to, other[b], 'name'));
  const pairs = new Map(named.map((pair) => [pair.from, pair]));
  const reasons = new Map<string, string>();
  for (const gap of gapsBetween([...found], one.length, other.length)) {
    const [a, b] = [one.slice(...gap.from), other.slice(...gap.to)];
    const placed = placesIn(from, a, to, b);
    let trusted = true;
    a.forEach((node, i) => {
      const twin = placed.get(i);
      const own = twin ? pairsOf(from, node, to, twin, 'place') : [];
      const weight = own.find(({ from: name }) => (from.parameters.get(name)?.shape.length ?? 0) > 1);
      // A norm or bias has too few values to tell; the layer below it speaks for it.
      if (weight) trusted = (weight.likeness ?? 0) >= LEAST_LIKENESS;
      for (const name of Object.values(node.parameters)) {
        if (pairs.has(name)) continue;
        const pair = own.find((candidate) => candidate.from === name);
        if (pair && trusted) pairs.set(name, pair);
        else reasons.set(name, reasonFor(from, name, to, twin, weight?.likeness ?? null));
      }
      if (twin && trusted) nodes.set(node.name, twin.name);
    });
  }
  return { pairs, reasons, nodes };
}

/** Nodes that have parameters, in topological order. */
const layersOf = ({ nodes }: Graph): readonly Node[] =>
  nodes.filter(({ parameters }) => Object.keys(parameters).length > 0);

/** What a layer is, apart from its names. */
const kindOf = (graph: Graph, { op, parameters }: Node): string =>
  JSON.stringify([op, Object.entries(parameters).map(([role, name]) => [role, graph.parameters.get(name)?.shape])]);

const tensorOf = (graph: Graph, name: string): string => graph.parameters.get(name)?.origin.tensor ?? name;

/** Names that exporters make up, such as `193` or `onnx::Conv_497`: the next version may give them to something else. */
const isNumbered = (tensor: string): boolean => /^(?:onnx::[A-Za-z]+_)?\d+$/.test(tensor);

/** Layers that share a tensor's name, as positions in both, rising in both. */
function anchors(from: Graph, one: readonly Node[], to: Graph, other: readonly Node[]): ReadonlyMap<number, number> {
  const places = new Map<string, number>();
  other.forEach((node, b) => {
    for (const [role, name] of Object.entries(node.parameters)) places.set(`${role} ${tensorOf(to, name)}`, b);
  });
  const found = new Map<number, number>();
  let last = -1;
  one.forEach((node, a) => {
    const at = Object.entries(node.parameters).flatMap(([role, name]) => {
      const tensor = tensorOf(from, name);
      return isNumbered(tensor) ? [] : (places.get(`${role} ${tensor}`) ?? []);
    });
    const [b] = at;
    if (b === undefined || b <= last) return;
    found.set(a, b);
    last = b;
  });
  return found;
}

/** Parameters of two layers that have the same role and shape. */
function pairsOf(from: Graph, node: Node | undefined, to: Graph, twin: Node | undefined, by: Pair['by']): Pair[] {
  return Object.entries(node?.parameters ?? {}).flatMap(([role, name]) => {
    const other = twin?.parameters[role] ?? '';
    const [a, b] = [from.parameters.get(name), to.parameters.get(other)];
    if (!a || !b || String(a.shape) !== String(b.shape)) return [];
    return [{ from: name, to: other, by, likeness: cosine(a.data(), b.data()) }];
  });
}

interface Gap {
  readonly from: readonly [number, number];
  readonly to: readonly [number, number];
}

/** The layers between anchors, and each anchor itself where its layers share some names only. */
function gapsBetween(found: readonly (readonly [number, number])[], one: number, other: number): readonly Gap[] {
  const ends = [...found, [one, other] as const];
  let [a, b] = [0, 0];
  return ends.flatMap(([nextA, nextB]) => {
    const gap: Gap = { from: [a, nextA], to: [b, nextB] };
    const anchor: Gap = { from: [nextA, nextA + 1], to: [nextB, nextB + 1] };
    [a, b] = [nextA + 1, nextB + 1];
    return nextA < one ? [gap, anchor] : [gap];
  });
}

/** Layers of the same kind in the same order, counted from both ends: those of `b` by position in `a`. */
function placesIn(from: Graph, a: readonly Node[], to: Graph, b: readonly Node[]): ReadonlyMap<number, Node> {
  const [kinds, others] = [a.map((node) => kindOf(from, node)), b.map((node) => kindOf(to, node))];
  const most = Math.min(a.length, b.length);
  let head = 0;
  while (head < most && kinds[head] === others[head]) head++;
  let tail = 0;
  while (tail < most - head && kinds[a.length - 1 - tail] === others[b.length - 1 - tail]) tail++;
  const places = a.map((_, i) => (i < head ? i : i >= a.length - tail ? i - a.length + b.length : -1));
  return new Map(places.flatMap((at, i) => (at >= 0 && b[at] ? [[i, b[at]] as const] : [])));
}

function reasonFor(from: Graph, name: string, to: Graph, twin: Node | undefined, likeness: number | null): string {
  const tensor = tensorOf(from, name);
  const shape = from.parameters.get(name)?.shape ?? [];
  const same = [...to.parameters.values()].find((candidate) => (candidate.origin.tensor ?? candidate.name) === tensor);
  if (same && String(same.shape) !== String(shape)) return `it is [${shape}], in the new base [${same.shape}]`;
  if (!twin) return 'the new base has no tensor of this name, nor the same layers around its place';
  const found = likeness === null ? '' : ` (cosine ${likeness.toFixed(2)})`;
  return `the new base has other weights in its place${found}`;
}
