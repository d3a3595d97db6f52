/**
 * @file The layer graph of a Keras configuration, flattened: nested models are inlined, every call of a layer is one
 * entry, and entries stand in an order in which each comes after its inputs.
 */
import { z } from 'zod';
import { ModelError } from '../../runtime/errors.ts';

/** One call of one Keras layer. */
export interface KerasLayer {
  /** Unique in the model: the layer's name, `<nested model>/<layer>` where two nested models share it, `<layer>/call_1` for a second call. */
  readonly name: string;
  /** The names its weights may stand under, `<scope>/kernel`, most specific last. */
  readonly weightScopes: readonly string[];
  readonly className: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Names of the entries it reads. */
  readonly inputs: readonly string[];
  /** True where the same weights are used by several calls. */
  readonly shared: boolean;
}

export interface Topology {
  readonly name: string;
  readonly layers: readonly KerasLayer[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const recordSchema = z.record(z.string(), z.unknown());
const layerSchema = z.object({
  class_name: z.string(),
  config: recordSchema,
  name: z.string().optional(),
  inbound_nodes: z.array(z.unknown()).optional(),
});
const functionalSchema = z.object({
  name: z.string().optional(),
  layers: z.array(layerSchema),
  input_layers: z.array(z.unknown()),
  output_layers: z.array(z.unknown()),
});
const sequentialSchema = z.union([
  z.array(layerSchema).transform((layers) => ({ name: undefined, layers })),
  z.object({ name: z.string().optional(), layers: z.array(layerSchema) }),
]);

type LayerJson = z.infer<typeof layerSchema>;
type TensorRef = readonly [layer: string, call: number, output: number];

interface Flattening {
  readonly source: string;
  readonly layers: KerasLayer[];
  readonly names: Set<string>;
}

const modelClasses = new Set(['Model', 'Functional', 'Sequential']);

/**
 * Flattens a Keras model configuration (`class_name` and `config` of a Sequential or functional model).
 *
 * @throws ModelError where the configuration is malformed or names a layer that is not there.
 */
export function flattenTopology(className: string, config: unknown, source: string): Topology {
  const flattening: Flattening = { source, layers: [], names: new Set() };
  const outputs = expandModel(flattening, className, config, [], null, false);
  const inputs = flattening.layers.filter((layer) => layer.className === 'InputLayer').map((layer) => layer.name);
  const name = z.object({ name: z.string() }).safeParse(config);
  return { name: name.success ? name.data.name : 'model', layers: flattening.layers, inputs, outputs };
}

/** Inlines one model; `bound` holds the entries its inputs stand for, or null at the top, where they become inputs. */
function expandModel(
  flattening: Flattening,
  className: string,
  config: unknown,
  path: readonly string[],
  bound: readonly string[] | null,
  shared: boolean,
): readonly string[] {
  const where = path.length ? `${flattening.source}, nested model "${path.join('/')}"` : flattening.source;
  if (className === 'Sequential') {
    return expandSequential(flattening, parse(sequentialSchema, config, where).layers, path, bound, shared, where);
  }
  if (className !== 'Model' && className !== 'Functional') {
    throw new ModelError(`${where}: "${className}" is neither a Sequential nor a functional Keras model.`, {
      className,
    });
  }
  const model = parse(functionalSchema, config, where);
  const byName = new Map(model.layers.map((layer) => [layerName(layer, where), layer]));
  const inputNames = tensorRefs(model.input_layers).map(([name]) => name);
  const firstCall = firstCallIndices(model.layers, model.output_layers, where);
  const done = new Map<string, readonly string[]>();
  const open = new Set<string>();

  const resolve = ([name, call, output]: TensorRef): string => {
    const key = `${name}\n${call}`;
    let entries = done.get(key);
    if (!entries) {
      const layer = byName.get(name);
      if (!layer) throw new ModelError(`${where}: layer "${name}" is used but not defined.`, { layer: name });
      if (open.has(key)) throw new ModelError(`${where}: layer "${name}" depends on its own output.`, { layer: name });
      open.add(key);
      const boundInput = bound?.[inputNames.indexOf(name)];
      if (layer.class_name === 'InputLayer' && boundInput !== undefined) {
        entries = [boundInput];
      } else {
        const calls = layer.inbound_nodes ?? [];
        const index = call - (firstCall.get(name) ?? 0);
        const inputs = layer.class_name === 'InputLayer' ? [] : tensorRefs(calls[index]).map(resolve);
        entries = expandLayer(flattening, layer, path, inputs, index, shared || calls.length > 1, where);
      }
      done.set(key, entries);
    }
    const entry = entries[output];
    if (entry === undefined) {
      throw new ModelError(`${where}: output ${output} of layer "${name}" is used but does not exist.`, {
        layer: name,
      });
    }
    return entry;
  };
  return tensorRefs(model.output_layers).map(resolve);
}

/**
 * The index that means the first call, for nested models: they count their own construction as call 0 (Keras 2, tfjs),
 * yet do not list it, so a reference one past the listed calls gives them away.
 */
function firstCallIndices(
  layers: readonly LayerJson[],
  outputs: readonly unknown[],
  where: string,
): ReadonlyMap<string, number> {
  const refs = [...layers.flatMap((layer) => tensorRefs(layer.inbound_nodes)), ...tensorRefs(outputs)];
  const nested = layers.filter((layer) => modelClasses.has(layer.class_name));
  return new Map(
    nested.map((layer) => {
      const name = layerName(layer, where);
      const past = refs.some(([target, call]) => target === name && call === (layer.inbound_nodes ?? []).length);
      return [name, past ? 1 : 0];
    }),
  );
}

function expandSequential(
  flattening: Flattening,
  layers: readonly LayerJson[],
  path: readonly string[],
  bound: readonly string[] | null,
  shared: boolean,
  where: string,
): readonly string[] {
  let current = bound;
  for (const layer of layers) {
    if (layer.class_name === 'InputLayer' && current !== null) continue;
    if (current === null && layer.class_name !== 'InputLayer' && !modelClasses.has(layer.class_name)) {
      // Without an InputLayer, the input's shape stands in the first layer.
      const name = `${layerName(layer, where)}_input`;
      const { batch_input_shape, batch_shape } = layer.config;
      const config = { name, batch_input_shape: batch_input_shape ?? batch_shape };
      current = expandLayer(flattening, { class_name: 'InputLayer', config }, path, [], 0, shared, where);
    }
    current = expandLayer(flattening, layer, path, current, 0, shared, where);
  }
  if (current === null) throw new ModelError(`${where}: the Sequential model has no layers.`);
  return current;
}

function expandLayer(
  flattening: Flattening,
  layer: LayerJson,
  path: readonly string[],
  inputs: readonly string[] | null,
  call: number,
  shared: boolean,
  where: string,
): readonly string[] {
  const ownName = layerName(layer, where);
  if (modelClasses.has(layer.class_name)) {
    return expandModel(flattening, layer.class_name, layer.config, [...path, ownName], inputs, shared);
  }
  const fullName = [...path, ownName].join('/');
  const plainName = flattening.names.has(ownName) && call === 0 ? fullName : ownName;
  let name = call === 0 ? plainName : `${plainName}/call_${call}`;
  // A nested model that is called twice gives the same full names again.
  for (let copy = 1; flattening.names.has(name); copy++) name = `${fullName}/call_${copy}`;
  flattening.names.add(name);
  const weightScopes = path.length ? [ownName, fullName] : [ownName];
  flattening.layers.push({
    name,
    weightScopes,
    className: layer.class_name,
    config: layer.config,
    inputs: inputs ?? [],
    shared,
  });
  return [name];
}

function layerName(layer: LayerJson, where: string): string {
  const name = layer.name ?? layer.config.name;
  if (typeof name === 'string' && name !== '') return name;
  throw new ModelError(`${where}: a ${layer.class_name} layer has no name.`, { className: layer.class_name });
}

/**
 * Finds the `[layer, call, output]` triples in what Keras writes for a call's inputs.
 *
 * Keras 2 nests plain arrays (`[[name, 0, 0, {}], ...]`, or one bare triple), Keras 3 wraps each triple as
 * `keras_history`; walking the value finds both.
 */
function tensorRefs(value: unknown): TensorRef[] {
  if (Array.isArray(value)) {
    const [layer, call, output] = value;
    if (typeof layer === 'string' && typeof call === 'number' && typeof output === 'number')
      return [[layer, call, output]];
    return value.flatMap(tensorRefs);
  }
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(tensorRefs);
  return [];
}

function parse<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ModelError(
    `${where}: the model configuration is malformed.\n${z.prettifyError(result.error)}`,
    {},
    {
      cause: result.error,
    },
  );
}
