/** @file What is in a delta, and in what two of them differ, for people and as JSON. */
import type { Model } from '../../models/onnx/open-model.ts';
import { DeltaError } from '../errors.ts';
import { toFileLayout } from '../graph/axes.ts';
import { findBlocks } from '../graph/blocks.ts';
import type { Shape } from '../graph/graph.ts';
import { withDelta } from './apply-to-graph.ts';
import { type Delta, hasNewHead, requireBase } from './delta.ts';
import { cosine, norm } from './difference.ts';
import type { NamedTensor } from './safetensors.ts';

export interface DescribedTensor {
  readonly tensor: string;
  /** Null without the base model, from which blocks are found. */
  readonly block: string | null;
  readonly shape: Shape;
  readonly bytes: number;
  /** Euclidean norm of the values, and of what the base's lack to them; null without the base or where it has none. */
  readonly norm: number;
  readonly differenceNorm: number | null;
}

export interface DeltaDescription {
  readonly base: string;
  readonly imageSize: number;
  readonly classes: readonly string[];
  /** `own`: the model's; `new`: one of the delta's, in place of the `drop` layers. */
  readonly head: 'own' | 'new';
  readonly drop: readonly string[] | null;
  readonly metaParts: readonly number[] | null;
  readonly preprocessing: Delta['preprocessing'];
  readonly notes: Readonly<Record<string, string>>;
  /** Public key that signed it. */
  readonly signer: string | null;
  readonly bytes: number;
  readonly tensors: readonly DescribedTensor[];
}

/** @throws DeltaError if the delta was learnt on another model than the one given */
export function describeDelta(delta: Delta, model: Model | null): DeltaDescription {
  const bases = model ? baseTensors(delta, model) : null;
  const tensors = [...delta.tensors.values()].map(({ name, shape, data }): DescribedTensor => {
    const base = bases?.get(name);
    return {
      tensor: name,
      block: base?.block ?? null,
      shape,
      bytes: data.byteLength,
      norm: norm(data),
      differenceNorm: base?.values ? norm(minus(data, base.values)) : null,
    };
  });
  const { base, imageSize, classes, drop, preprocessing, notes } = delta;
  return {
    ...{ base, imageSize, classes, drop, preprocessing, notes, tensors },
    head: hasNewHead(delta) ? 'new' : 'own',
    metaParts: delta.metaParts ?? null,
    signer: delta.signer ?? null,
    bytes: tensors.reduce((sum, tensor) => sum + tensor.bytes, 0),
  };
}

export interface ComparedTensor {
  readonly tensor: string;
  readonly shape: Shape;
  /** Which of the two have it. */
  readonly in: 'both' | 'a' | 'b';
  /** Of a - b. Null unless both have it, in one shape. */
  readonly differenceNorm: number | null;
  /**
   * Between what both have learnt where the base is given, else between their values; null where one of them is all zero, too.
   */
  readonly cosine: number | null;
}

export interface DeltaComparison {
  /** What the two say of themselves and say differently, as JSON. */
  readonly facts: readonly { readonly fact: string; readonly a: string; readonly b: string }[];
  readonly tensors: readonly ComparedTensor[];
  /** Over all tensors that both have. */
  readonly differenceNorm: number;
  readonly cosine: number | null;
}

/** @throws DeltaError if one of them was learnt on another model than the one given */
export function compareDeltas(a: Delta, b: Delta, model: Model | null): DeltaComparison {
  const [basesOfA, basesOfB] = model ? [baseTensors(a, model), baseTensors(b, model)] : [];
  const shared: { readonly a: Float32Array; readonly b: Float32Array }[] = [];
  const tensors = [...new Set([...a.tensors.keys(), ...b.tensors.keys()])].map((name): ComparedTensor => {
    const [one, other] = [a.tensors.get(name), b.tensors.get(name)];
    const { shape } = (one ?? other) as NamedTensor;
    const tensor = { tensor: name, shape, in: one && other ? 'both' : one ? 'a' : 'b' } as const;
    if (!one || !other || String(one.shape) !== String(other.shape)) {
      return { ...tensor, differenceNorm: null, cosine: null };
    }
    const [base, otherBase] = [basesOfA?.get(name)?.values, basesOfB?.get(name)?.values];
    const learnt = {
      a: base ? minus(one.data, base) : one.data,
      b: otherBase ? minus(other.data, otherBase) : other.data,
    };
    shared.push(learnt);
    return { ...tensor, differenceNorm: norm(minus(one.data, other.data)), cosine: cosine(learnt.a, learnt.b) };
  });
  const [allA, allB] = [joined(shared.map((pair) => pair.a)), joined(shared.map((pair) => pair.b))];
  const differences = tensors.map(({ differenceNorm }) => differenceNorm ?? 0);
  return { facts: comparedFacts(a, b), tensors, differenceNorm: norm(differences), cosine: cosine(allA, allB) };
}

function comparedFacts(a: Delta, b: Delta): DeltaComparison['facts'] {
  const facts = ({ tensors: _, notes, ...delta }: Delta): ReadonlyMap<string, string> =>
    new Map(
      [
        ...Object.entries(delta),
        ...Object.entries(notes).map(([note, value]) => [`notes.${note}`, value] as const),
      ].map(([fact, value]) => [fact, JSON.stringify(value ?? null)]),
    );
  const [one, other] = [facts(a), facts(b)];
  return [...new Set([...one.keys(), ...other.keys()])].flatMap((fact) => {
    const [left, right] = [one.get(fact) ?? 'null', other.get(fact) ?? 'null'];
    return left === right ? [] : [{ fact, a: left, b: right }];
  });
}

interface BaseTensor {
  readonly block: string | null;
  /** Null for what the base does not have, as a new head. */
  readonly values: Float32Array | null;
}

/** What the base holds in the place of each of a delta's tensors, in the layout of the file. */
function baseTensors(delta: Delta, model: Model): ReadonlyMap<string, BaseTensor> {
  requireBase(delta, model.file);
  const graph = withDelta(model.graph, delta);
  const blocks = new Map(findBlocks(graph).flatMap(({ name, nodes }) => nodes.map((node) => [node, name] as const)));
  const readers = new Map(
    graph.nodes
      .toReversed()
      .flatMap((node) => Object.values(node.parameters).map((name) => [name, node.name] as const)),
  );
  return new Map(
    [...graph.parameters.values()].map(({ name, origin }) => {
      const base = model.graph.parameters.get(name);
      const values = base ? toFileLayout(base.data(), origin) : null;
      return [origin.tensor ?? name, { block: blocks.get(readers.get(name) ?? '') ?? null, values }];
    }),
  );
}

function minus(a: Float32Array, b: Float32Array): Float32Array {
  if (a.length !== b.length) throw new DeltaError(`expected ${a.length} values, found ${b.length}`);
  return a.map((value, i) => value - (b[i] ?? Number.NaN));
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
