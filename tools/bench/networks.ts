/** @file The networks that the benchmarks know by name: what they are called, where they lie and how much of them trains. */
import { access } from 'node:fs/promises';
import { basename } from 'node:path';
import { materializeNetwork } from '../../models/networks/networks.ts';
import { benchModel } from './places.ts';

export interface BenchNetwork {
  readonly title: string;
  /** ONNX file, written first where it is missing. */
  readonly path: () => Promise<string>;
  /** Side of the images in pixels. */
  readonly size: number;
  /** Top blocks that train under `shifts` and `mobiletl`. */
  readonly blocks: number;
}

/** Five inverted residuals, as in the MobileTL paper's smaller setting; three bottlenecks are ResNet-50's last stage. */
const networks = {
  'mobilenet-v2': {
    title: 'MobileNetV2',
    path: async () => (await benchModel()).path,
    size: 224,
    blocks: 5,
  },
  'mobilenet-v3-small': {
    title: 'MobileNetV3-Small',
    path: () => materializeNetwork('mobilenet_v3_small-kept-opset18'),
    size: 224,
    blocks: 5,
  },
  'efficientnet-b0': {
    title: 'EfficientNet-B0',
    path: () => materializeNetwork('efficientnet_b0-kept-opset12'),
    size: 224,
    blocks: 5,
  },
  resnet50: { title: 'ResNet-50', path: () => materializeNetwork('resnet50-kept-opset11'), size: 224, blocks: 3 },
  wrn: { title: 'WRN-40-2', path: () => materializeNetwork('wrn_40_2-kept-opset12'), size: 32, blocks: 5 },
} as const satisfies Record<string, BenchNetwork>;

export const benchNetworkNames = Object.keys(networks);

/**
 * A network by its name here, or any ONNX file by its path (224 px, 5 blocks unless told otherwise).
 * @throws Error if it is neither
 */
export async function benchNetwork(name: string): Promise<BenchNetwork> {
  if (Object.hasOwn(networks, name)) return networks[name as keyof typeof networks];
  await access(name).catch((cause: unknown) => {
    throw new Error(`expected ${benchNetworkNames.join(', ')} or an ONNX file but got "${name}"`, { cause });
  });
  return { title: basename(name, '.onnx'), path: async () => name, size: 224, blocks: 5 };
}
