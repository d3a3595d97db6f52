/**
 * @file A delta carried from the base it was learnt on to another version of that base: the learnt difference of each tensor is put
 * on its counterpart in the new base (matching.ts, difference.ts); what is the delta's own, a new head and meta networks, goes along
 * as it is.
 */
import type { Model } from '../../models/onnx/open-model.ts';
import { DeltaError, EdgeshiftError } from '../errors.ts';
import { toFileLayout, toGraphLayout } from '../graph/axes.ts';
import { type Graph, type Parameter, parameterOf, type Shape } from '../graph/graph.ts';
import { firstDropped, HEAD } from '../graph/head.ts';
import { META, withMetaNetworks } from '../scheme/meta-networks.ts';
import { withDeltaHead } from './apply-to-graph.ts';
import { type Delta, hasNewHead, requireBase } from './delta.ts';
import { difference, differenceKinds, withDifference } from './difference.ts';
import { type Matching, matchParameters, type Pair } from './matching.ts';
import type { NamedTensor } from './safetensors.ts';

export interface CarriedTensor {
  readonly tensor: string;
  /** Its name in the new base. */
  readonly to: string;
  /** How its counterpart was found; `own`: it is no tensor of the base. */
  readonly by: Pair['by'] | 'own';
  readonly shape: Shape;
  /** Cosine between both bases' values; null where there are none, or only zeros. */
  readonly likeness: number | null;
}

export interface LeftTensor {
  readonly tensor: string;
  readonly shape: Shape;
  readonly reason: string;
}

export interface Transfer {
  /** For the new base. */
  readonly delta: Delta;
  readonly carried: readonly CarriedTensor[];
  /** What stays as it is in the new base. */
  readonly left: readonly LeftTensor[];
}

/**
 * Carries a delta over. Both models must have been opened at the delta's image size.
 * @throws DeltaError if it was learnt on another model than `from`, if nothing of it can be carried, or if its new head takes other features
 */
export function transferDelta(delta: Delta, from: Model, to: Model): Transfer {
  requireBase(delta, from.file);
  if (from.file.sha256 === to.file.sha256) {
    throw new DeltaError(`"${to.file.path}" is the base that the delta was learnt on: there is nothing to carry over`, {
      base: to.file.sha256,
    });
  }
  const matching = matchParameters(from.graph, to.graph);
  const drop = headPlace(delta, from.graph, to.graph, matching);
  const [headed, meta] = ownParts({ ...delta, drop }, to.graph);
  const own = [...delta.tensors.values()].map((tensor) => {
    if (isHead(tensor.name)) return carryOwn(tensor, headed);
    if (isMeta(tensor.name)) return typeof meta === 'string' ? leave(tensor, meta) : carryOwn(tensor, meta);
    return carryLearnt(tensor, { delta, from, to, matching });
  });
  const carried = own.flatMap((result) => ('to' in result ? [result] : []));
  const left = own.flatMap((result) => ('reason' in result ? [result] : []));
  if (carried.length === 0) throw new DeltaError(nothingText(left), { left });
  return {
    delta: {
      base: to.file.sha256,
      imageSize: delta.imageSize,
      classes: hasNewHead(delta) ? delta.classes : classesOf(delta, from, to),
      preprocessing: same(delta.preprocessing, from.preprocessing) ? to.preprocessing : delta.preprocessing,
      drop,
      metaParts: typeof meta === 'string' ? null : (delta.metaParts ?? null),
      notes: {
        ...delta.notes,
        transferredFrom: delta.base,
        transferred: `${carried.length} of ${own.length} tensors`,
      },
      tensors: new Map(carried.map(({ value }) => [value.name, value])),
    },
    carried: carried.map(({ value, ...facts }) => facts),
    left,
  };
}

type Carried = CarriedTensor & { readonly value: NamedTensor };

interface Sides {
  readonly delta: Delta;
  readonly from: Model;
  readonly to: Model;
  readonly matching: Matching;
}

const isHead = (name: string): boolean => name === HEAD.weight || name === HEAD.bias;
const isMeta = (name: string): boolean => name.startsWith(`${META}.`);
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const leave = ({ name, shape }: NamedTensor, reason: string): LeftTensor => ({ tensor: name, shape, reason });

function carryLearnt(tensor: NamedTensor, { delta, from, to, matching }: Sides): Carried | LeftTensor {
  const { name, shape } = tensor;
  const base = parameterByTensor(from.graph, name);
  if (!base || String(base.origin.shape) !== String(shape)) {
    throw new DeltaError(`the delta holds "${name}" [${shape}], "${from.file.path}" does not`, { tensor: name });
  }
  const pair = matching.pairs.get(base.name);
  const other = headText(base.name, delta, from, to);
  if (!pair || other) return leave(tensor, other ?? matching.reasons.get(base.name) ?? 'it has no counterpart');
  const target = parameterOf(to.graph, pair.to);
  const kind = differenceKinds(from.graph).get(base.name) ?? 'sum';
  const learnt = difference(kind, toGraphLayout(tensor.data, base.origin), base.data());
  const data = toFileLayout(withDifference(kind, target.data(), learnt), target.origin);
  const value = { name: target.origin.tensor ?? target.name, shape: target.origin.shape, data };
  return { tensor: name, to: value.name, by: pair.by, shape, likeness: pair.likeness, value };
}

const parameterByTensor = (graph: Graph, tensor: string): Parameter | undefined =>
  [...graph.parameters.values()].find(({ origin, name }) => (origin.tensor ?? name) === tensor);

/** Why a tensor of the bases' own heads does not fit: they tell other classes apart. Null if that is not so. */
function headText(name: string, delta: Delta, from: Model, to: Model): string | null {
  if (hasNewHead(delta) || !isAbove(from.graph, name)) return null;
  const [classes, others] = [from.classes ?? delta.classes, to.classes];
  const outputs = (model: Model): number => model.graph.shapes.get(model.graph.output)?.at(-1) ?? 0;
  if (outputs(from) !== outputs(to)) return `head of ${outputs(from)} classes, the new base has ${outputs(to)}`;
  return others && !same(classes, others) ? 'head of other classes than those of the new base' : null;
}

/** Whether a parameter belongs to the last layer, which tells the classes apart. */
function isAbove(graph: Graph, name: string): boolean {
  const last = graph.nodes.findLastIndex(({ op }) => op === 'Gemm' || op.endsWith('Conv'));
  return graph.nodes.slice(Math.max(0, last)).some(({ parameters }) => Object.values(parameters).includes(name));
}

function classesOf(delta: Delta, from: Model, to: Model): readonly string[] {
  if (to.classes) return to.classes;
  const outputs = to.graph.shapes.get(to.graph.output)?.at(-1) ?? 0;
  const known = from.classes ?? delta.classes;
  return known.length === outputs ? known : Array.from({ length: outputs }, (_, i) => String(i));
}

/** Layers that the delta's new head stands in place of, under the new base's names; null if it has none. */
function headPlace(delta: Delta, from: Graph, to: Graph, { nodes }: Matching): readonly string[] | null {
  const { drop } = delta;
  if (!hasNewHead(delta) || drop === null || drop.length === 0) return drop;
  const names = new Set(to.nodes.map(({ name }) => name));
  if (drop.every((name) => names.has(name))) return drop;
  // Flattening is the head's own business; any other layer that is dropped must be found again.
  const lowest = from.nodes.slice(firstDropped(from, drop)).find(({ op }) => op !== 'Flatten');
  const twin = nodes.get(lowest?.name ?? '');
  if (twin !== undefined) return [twin];
  throw new DeltaError(
    `the delta's new head stands in place of "${drop.join('", "')}", which the new base does not have`,
    { drop },
  );
}

/** The new base with the delta's own head, and with its meta networks or the reason why they do not fit. */
function ownParts(delta: Delta, to: Graph): readonly [headed: Graph, meta: Graph | string] {
  const headed = withDeltaHead(to, delta);
  const weight = delta.tensors.get(HEAD.weight);
  if (weight) {
    const [, features] = parameterOf(headed, HEAD.weight).shape;
    if (features !== weight.shape[1]) {
      throw new DeltaError(
        `the delta's new head takes ${weight.shape[1]} features, the new base has ${features} in its place\n` +
          'Hint: train on the new base',
        { expected: weight.shape[1], actual: features },
      );
    }
  }
  if (!delta.metaParts) return [headed, 'the delta does not say where its meta networks stand'];
  try {
    return [headed, withMetaNetworks(headed, { parts: delta.metaParts, seed: 0 })];
  } catch (error) {
    if (!(error instanceof EdgeshiftError)) throw error;
    return [headed, error.message];
  }
}

/** A tensor that the base never had. */
function carryOwn(tensor: NamedTensor, graph: Graph): Carried | LeftTensor {
  const { name, shape } = tensor;
  const place = graph.parameters.get(name);
  if (!place) return leave(tensor, 'the new base has no place for it');
  if (String(place.origin.shape) !== String(shape))
    return leave(tensor, `the new base asks for [${place.origin.shape}]`);
  return { tensor: name, to: name, by: 'own', shape, likeness: null, value: tensor };
}

function nothingText(left: readonly LeftTensor[]): string {
  const few = left.slice(0, 3).map(({ tensor, reason }) => `"${tensor}": ${reason}`);
  return `nothing of the delta can be carried over, of ${left.length} tensors:\n  ${few.join('\n  ')}`;
}
