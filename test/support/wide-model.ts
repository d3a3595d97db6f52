/** @file A small network that keeps much for its backward pass: what has to give way when memory gets short. */
import { writeFile } from 'node:fs/promises';
import { encodeModel } from '../../models/onnx/proto.ts';
import { OnnxBuilder } from './onnx-models.ts';

/** Three blocks of 32 px that keep 54 MiB each at a batch of 32. */
export async function wideModel(path: string): Promise<string> {
  const b = new OnnxBuilder({ size: 32, seed: 4 });
  let x = b.relu6('stem_relu', b.norm('stem_norm', b.conv('stem', 'image', 16, { kernel: 3 })));
  for (const name of ['one', 'two', 'three']) {
    const wide = b.relu6(`${name}_relu`, b.norm(`${name}_expand_norm`, b.conv(`${name}_expand`, x, 192)));
    const depth = b.conv(`${name}_depth`, wide, 192, { kernel: 3, depthwise: true });
    const inner = b.relu6(`${name}_depth_relu`, b.norm(`${name}_depth_norm`, depth));
    x = b.add(`${name}_sum`, b.norm(`${name}_norm`, b.conv(`${name}_project`, inner, 16)), x);
  }
  b.head(x, 5);
  await writeFile(path, encodeModel(b.model()));
  return path;
}
