/** @file Image folders of gratings: four directions, which a small network tells apart, under light that changes. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { Random } from '../../runtime/train/random.ts';

/** What the light does to an image: nothing, little contrast in the dark with a cast, or glare. */
export type Domain = 'plain' | 'dim' | 'bright';

const SIDE = 16;
const DIRECTIONS = 4;

/** Each channel's value from that of plain light. */
const lights: Readonly<Record<Domain, (value: number, channel: number) => number>> = {
  plain: (value) => value,
  dim: (value, channel) => 20 + 0.25 * value + 12 * channel,
  bright: (value, channel) => 150 + 0.4 * value - 20 * channel,
};

/** Writes `folder/direction-<d>/<domain>-<i>.png`; folders may be there already. Gives the folder. */
export async function gratings(
  folder: string,
  { domain, perClass, seed }: { readonly domain: Domain; readonly perClass: number; readonly seed: number },
): Promise<string> {
  for (let direction = 0; direction < DIRECTIONS; direction++) {
    const path = join(folder, `direction-${direction}`);
    await mkdir(path, { recursive: true });
    for (let i = 0; i < perClass; i++) {
      const pixels = Buffer.from(grating(direction, new Random(seed, direction, i), lights[domain]));
      const image = sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } });
      await image.png().toFile(join(path, `${domain}-${i}.png`));
    }
  }
  return folder;
}

/** One image (u8 RGB, channels-last): a wave of any phase in its direction, and noise. */
function grating(
  direction: number,
  random: Random,
  light: (value: number, channel: number) => number,
): Uint8ClampedArray {
  const angle = (direction * Math.PI) / DIRECTIONS + random.uniform(-0.2, 0.2);
  const [phase, pitch] = [random.uniform(0, 2 * Math.PI), random.uniform(3.5, 5)];
  return Uint8ClampedArray.from({ length: SIDE * SIDE * 3 }, (_, k) => {
    const [x, y] = [Math.floor(k / 3) % SIDE, Math.floor(k / (3 * SIDE))];
    const wave = Math.sin((2 * Math.PI * (x * Math.cos(angle) + y * Math.sin(angle))) / pitch + phase);
    return light(128 + 60 * wave + random.normal(0, 40), k % 3);
  });
}
