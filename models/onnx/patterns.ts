/**
 * @file Small patterns over a file's nodes, for what exporters write as several ops: `hardSwish = scaled(1 / 6, x, clip)`.
 *
 * A pattern is tried on a tensor and looks down, towards the image. It holds if every node below matches and nobody outside
 * reads a tensor in its middle.
 */
import type { Constants } from './constants.ts';
import type { FileIndex } from './file-index.ts';
import { OnnxNode } from './onnx-node.ts';
import type { NodeProto } from './proto.ts';

/** What a match has found. */
export interface Match {
  /** Tensors by the name the pattern gave them. */
  readonly tensors: ReadonlyMap<string, string>;
  readonly numbers: ReadonlyMap<string, number>;
  /** Nodes by the name the pattern gave them. */
  readonly named: ReadonlyMap<string, OnnxNode>;
  readonly nodes: ReadonlySet<NodeProto>;
}

/** All a pattern may ask; matches so far are never changed, so that alternatives can be tried. */
export interface Place {
  readonly index: FileIndex;
  readonly constants: Constants;
}

/** The ways in which `tensor` can match after what has matched already. */
export type Pattern = (tensor: string, match: Match, place: Place) => readonly Match[];

const NOTHING: Match = { tensors: new Map(), numbers: new Map(), named: new Map(), nodes: new Set() };

/** The first match of a pattern at a tensor whose inner tensors nobody else reads. */
export function findMatch(pattern: Pattern, tensor: string, place: Place): Match | undefined {
  return pattern(tensor, NOTHING, place).find(({ nodes }) =>
    [...nodes].every((node) =>
      node.output.every((output) => output === tensor || output === '' || place.index.isInside(output, nodes)),
    ),
  );
}

/** Any activation, the same wherever the name stands. */
export const activation =
  (name: string): Pattern =>
  (tensor, match, { constants }) => {
    if (tensor === '' || constants.has(tensor)) return [];
    return bind(name, tensor, match);
  };

/** Any constant tensor. */
export const constant =
  (name: string): Pattern =>
  (tensor, match, { constants }) =>
    constants.has(tensor) ? bind(name, tensor, match) : [];

/** Whatever stands there. */
export const anything: Pattern = (_tensor, match) => [match];

/** A constant of one value, within a thousandth; without a value any, bound to the name. */
export const number =
  (value: number | null, name = ''): Pattern =>
  (tensor, match, { constants }) => {
    const found = constants.scalar(tensor);
    if (found === undefined || (value !== null && !isNear(found, value))) return [];
    return [name === '' ? match : { ...match, numbers: new Map([...match.numbers, [name, found]]) }];
  };

/** A node of the op; a sum's or product's inputs in any order. Inputs beyond the patterns may be anything. */
export const op =
  (type: string, inputs: readonly Pattern[], where: (node: OnnxNode, place: Place) => boolean = () => true): Pattern =>
  (tensor, match, place) => {
    const proto = place.index.producer(tensor);
    if (proto?.opType !== type || (proto.domain !== '' && proto.domain !== 'ai.onnx')) return [];
    const node = new OnnxNode(proto);
    if (node.output !== tensor || !where(node, place)) return [];
    const start = { ...match, nodes: new Set([...match.nodes, proto]) };
    const orders = inputs.length === 2 && ['Add', 'Mul'].includes(type) ? [inputs, inputs.toReversed()] : [inputs];
    return orders.flatMap((order) =>
      order.reduce<readonly Match[]>(
        (found, pattern, i) => found.flatMap((each) => pattern(node.inputs[i] ?? '', each, place)),
        [start],
      ),
    );
  };

/** The pattern, and its node under a name. */
export const named =
  (name: string, pattern: Pattern): Pattern =>
  (tensor, match, place) => {
    const proto = place.index.producer(tensor);
    if (!proto) return [];
    return pattern(tensor, match, place).map((found) => ({
      ...found,
      named: new Map([...found.named, [name, new OnnxNode(proto)]]),
    }));
  };

export const either =
  (...patterns: readonly Pattern[]): Pattern =>
  (tensor, match, place) =>
    patterns.flatMap((pattern) => pattern(tensor, match, place));

/** A product of exactly these factors in any order, times one constant spread over it in any way. */
export const scaled =
  (factor: number, ...terms: readonly Pattern[]): Pattern =>
  (tensor, match, place) =>
    products(tensor, match, place, terms.length).flatMap(({ constant: value, factors, match: walked }) => {
      if (!isNear(value, factor) || factors.length !== terms.length) return [];
      return permutations(terms).flatMap((order) =>
        order.reduce<readonly Match[]>(
          (found, term, i) => found.flatMap((each) => term(factors[i] ?? '', each, place)),
          [walked],
        ),
      );
    });

interface Product {
  readonly constant: number;
  readonly factors: readonly string[];
  readonly match: Match;
}

/** The ways to read a tensor as a product of at most `most` factors. */
function products(tensor: string, match: Match, place: Place, most: number): readonly Product[] {
  const value = place.constants.scalar(tensor);
  if (value !== undefined) return [{ constant: value, factors: [], match }];
  const whole: Product = { constant: 1, factors: [tensor], match };
  const node = place.index.producer(tensor);
  if (!node || (node.opType !== 'Mul' && node.opType !== 'Div')) return [whole];
  const [a = '', b = ''] = node.input;
  const inside = { ...match, nodes: new Set([...match.nodes, node]) };
  const split = products(a, inside, place, most).flatMap((left) =>
    products(b, left.match, place, most).flatMap((right): Product[] => {
      if (left.factors.length + right.factors.length > most) return [];
      if (node.opType === 'Mul') {
        const factors = [...left.factors, ...right.factors];
        return [{ constant: left.constant * right.constant, factors, match: right.match }];
      }
      return right.factors.length > 0
        ? []
        : [{ constant: left.constant / right.constant, factors: left.factors, match: right.match }];
    }),
  );
  return [...split, whole];
}

function bind(name: string, tensor: string, match: Match): readonly Match[] {
  const known = match.tensors.get(name);
  if (known !== undefined) return known === tensor ? [match] : [];
  return [{ ...match, tensors: new Map([...match.tensors, [name, tensor]]) }];
}

const isNear = (found: number, value: number): boolean => Math.abs(found - value) <= 1e-3 * Math.abs(value);

function permutations<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length <= 1) return [items];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}
