/** @file Random small networks as ONNX models, for property tests. */
import * as fc from 'fast-check';
import type { ModelFile } from '../../models/onnx/model-file.ts';
import { OnnxBuilder } from './onnx-models.ts';

/** What a network is made of, from the image upwards; plain data, so that a failure prints it. */
export interface NetSpec {
  readonly seed: number;
  readonly size: number;
  readonly stages: readonly Stage[];
  /** `pool`: global average; `flatten`: every pixel is a feature. */
  readonly head: 'pool' | 'flatten';
  readonly classes: number;
}

export interface Stage {
  readonly kind: 'plain' | 'bottleneck' | 'residual' | 'depthwise' | 'double' | 'gate' | 'branches' | 'preactivation';
  readonly channels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly activation: 'relu' | 'relu6' | 'hardSwish' | 'silu' | 'none';
  readonly norm: boolean;
}

const stage: fc.Arbitrary<Stage> = fc.record({
  kind: fc.constantFrom('plain', 'bottleneck', 'residual', 'depthwise', 'double', 'gate', 'branches', 'preactivation'),
  channels: fc.integer({ min: 3, max: 12 }),
  kernel: fc.constantFrom(1, 3, 5),
  stride: fc.constantFrom(1, 1, 2),
  activation: fc.constantFrom('relu', 'relu6', 'hardSwish', 'silu', 'none'),
  norm: fc.boolean(),
});

export const netSpec: fc.Arbitrary<NetSpec> = fc.record({
  seed: fc.nat(1e6),
  size: fc.constantFrom(6, 8, 11),
  stages: fc.array(stage, { minLength: 1, maxLength: 4 }),
  head: fc.constantFrom('pool', 'flatten'),
  classes: fc.integer({ min: 2, max: 9 }),
});

export function buildNet({ seed, size, stages, head, classes }: NetSpec): ModelFile {
  const b = new OnnxBuilder({ seed, size });
  let extent = size;
  let x = 'image';
  stages.forEach((stage, i) => {
    x = addStage(b, `s${i}`, x, stage);
    if (strided.has(stage.kind)) extent = Math.ceil(extent / stage.stride);
  });
  if (head === 'pool') b.head(x, classes);
  else b.gemm('logits', b.node('Flatten', 'flat', [x], {}, b.channels(x) * extent * extent), classes);
  return b.file();
}

/** Kinds whose stride counts; the others keep height and width. */
const strided: ReadonlySet<Stage['kind']> = new Set(['plain', 'bottleneck', 'depthwise']);

function addStage(b: OnnxBuilder, name: string, x: string, stage: Stage): string {
  const { kind, channels, kernel, stride } = stage;
  const unit = (
    part: string,
    y: string,
    out: number,
    options: { kernel?: number; stride?: number; depthwise?: boolean },
  ) => activate(b, `${name}/${part}`, y, out, stage, options);
  const linear = (part: string, y: string, out: number, k = 1): string =>
    b.norm(`${name}/${part}_norm`, b.conv(`${name}/${part}`, y, out, { kernel: k }));
  switch (kind) {
    case 'plain':
      return unit('conv', x, channels, { kernel, stride });
    case 'depthwise':
      return unit('point', unit('depth', x, b.channels(x), { kernel, stride, depthwise: true }), channels, {});
    case 'bottleneck': {
      const wide = unit('expand', x, 2 * b.channels(x), {});
      const depth = unit('depth', wide, b.channels(wide), { kernel, stride, depthwise: true });
      const skips = stride === 1 && channels % 2 === 0;
      const y = linear('project', depth, skips ? b.channels(x) : channels);
      return skips ? b.add(`${name}/add`, x, y) : y;
    }
    case 'residual': {
      const y = linear('second', unit('first', x, channels, { kernel }), b.channels(x), kernel);
      const sum = b.add(`${name}/add`, y, x);
      return stage.activation === 'none' ? sum : b.relu(`${name}/relu`, sum);
    }
    case 'double':
      return b.add(`${name}/add`, x, x);
    case 'gate': {
      // Squeeze-excite.
      const y = unit('conv', x, channels, { kernel });
      const pooled = b.node('GlobalAveragePool', `${name}/pool`, [y]);
      const squeezed = b.relu(`${name}/squeezed`, b.conv(`${name}/squeeze`, pooled, 3, { bias: true }));
      const gate = b.node('Sigmoid', `${name}/gate`, [b.conv(`${name}/excite`, squeezed, channels, { bias: true })]);
      return b.node('Mul', `${name}/scaled`, [y, gate]);
    }
    case 'branches': {
      const pool = { kernel_shape: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1] };
      const left = unit('left', x, channels, { kernel });
      const right = unit('right', b.node('MaxPool', `${name}/pool`, [x], pool), 4, {});
      return b.node('Concat', `${name}/join`, [left, right], { axis: 1 }, channels + 4);
    }
    case 'preactivation': {
      const normed = b.relu(`${name}/relu`, b.norm(`${name}/norm`, x));
      return b.add(`${name}/add`, b.conv(`${name}/conv`, normed, b.channels(x), { kernel }), x);
    }
  }
}

function activate(
  b: OnnxBuilder,
  name: string,
  x: string,
  channels: number,
  { activation, norm }: Stage,
  options: { kernel?: number; stride?: number; depthwise?: boolean },
): string {
  const conv = b.conv(name, x, channels, { ...options, bias: !norm });
  const y = norm ? b.norm(`${name}_norm`, conv) : conv;
  if (activation === 'none') return y;
  if (activation === 'hardSwish') return b.node('HardSwish', `${name}_act`, [y]);
  if (activation === 'silu') return b.node('Mul', `${name}_act`, [b.node('Sigmoid', `${name}_sigmoid`, [y]), y]);
  return activation === 'relu' ? b.relu(`${name}_relu`, y) : b.relu6(`${name}_relu`, y);
}
