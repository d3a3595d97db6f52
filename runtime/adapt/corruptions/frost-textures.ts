/**
 * @file Textures of frost on glass, made from noise.
 *
 * The benchmark lays photographs of frosted windows over the images. These stand in for them: bright feathers of ice that grow
 * along bent ridges over a dark, bluish pane, five kinds from fine needles to broad plates. They are not those photographs, so
 * errors under frost cannot be compared with published ones.
 */
import { Random } from '../../train/random.ts';
import { largestSmallSide } from './tables.ts';

/** Square, RGB, values 0 to 255, channels-last. */
export interface FrostTexture {
  readonly side: number;
  readonly values: Float32Array;
}

interface FrostKind {
  /** Waves of the largest feathers across the texture. */
  readonly waves: number;
  /** How far feathers bend, in waves. */
  readonly bend: number;
  /** How many times longer than wide they are. */
  readonly stretch: number;
  /** Share of the pane under thick ice. */
  readonly cover: number;
  /** Thin ridges from 4 on, plates below 2. */
  readonly sharpness: number;
}

const kinds: readonly FrostKind[] = [
  { waves: 14, bend: 0.9, stretch: 3, cover: 0.55, sharpness: 3 },
  { waves: 18, bend: 0.6, stretch: 5, cover: 0.45, sharpness: 4 },
  { waves: 10, bend: 1.6, stretch: 1.5, cover: 0.65, sharpness: 2 },
  { waves: 20, bend: 1.3, stretch: 1, cover: 0.5, sharpness: 3 },
  { waves: 12, bend: 0.8, stretch: 2.5, cover: 0.6, sharpness: 1.5 },
];

/** The textures' own seed: like photographs, they do not depend on the seed of a run. */
const textureSeed = 0x66726f73;
const octaves = 6;
const dark = [38, 52, 74] as const;
const bright = [236, 243, 250] as const;

export const frostTextureCount = kinds.length;

const textures = new Map<string, FrostTexture>();

/** A texture for images of a side, made on first use. Small images see it at a fifth of its size, as in the benchmark. */
export function frostTexture(kind: number, imageSide: number): FrostTexture {
  const side = imageSide <= largestSmallSide ? 205 : Math.max(1024, 2 * imageSide);
  const key = `${kind} ${side}`;
  const known = textures.get(key);
  if (known) return known;
  const texture = { side, values: frozen(kinds[kind] as FrostKind, kind, side) };
  textures.set(key, texture);
  return texture;
}

function frozen({ waves, bend, stretch, cover, sharpness }: FrostKind, kind: number, side: number): Float32Array {
  const noise = latticeNoise(new Random(textureSeed, kind));
  const values = new Float32Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const [u, v] = [(waves * x) / side, (waves * y) / side];
      // Feathers grow along a direction that turns slowly over the pane.
      const turn = kind + 0.3 * noise(0.2 * u + 40, 0.2 * v + 7);
      const [along, across] = [u * Math.cos(turn) + v * Math.sin(turn), v * Math.cos(turn) - u * Math.sin(turn)];
      const [bentU, bentV] = [bend * noise(u + 11, v + 3), bend * noise(u + 29, v + 17)];
      const ice = ridges(noise, along / stretch + bentU, across + bentV, sharpness);
      const thickness = 1 / (1 + Math.exp(-12 * (noise(0.25 * u + 71, 0.25 * v + 53) - (1 - cover))));
      const grain = 0.12 * (noise(side * 0.45 * u, side * 0.45 * v) - 0.5);
      const level = Math.min(Math.max(thickness * (0.15 + ice) + 0.3 * ice * (1 - thickness) + grain, 0), 1);
      for (let c = 0; c < 3; c++) {
        values[3 * (y * side + x) + c] = (dark[c] as number) + level * ((bright[c] as number) - (dark[c] as number));
      }
    }
  }
  return values;
}

type Noise = (x: number, y: number) => number;

/** Sum of ever finer ridges, 0 to 1: high where noise crosses its middle; fine ridges grow on coarse ones only. */
function ridges(noise: Noise, x: number, y: number, sharpness: number): number {
  let [sum, total, weight, below] = [0, 0, 1, 1];
  for (let octave = 0; octave < octaves; octave++) {
    const scale = 2 ** octave;
    const ridge = (1 - Math.abs(2 * noise(scale * x + 5 * octave, scale * y + 9 * octave) - 1)) ** sharpness;
    sum += weight * ridge * below;
    total += weight;
    below = Math.min(1, 0.35 + ridge);
    weight *= 0.62;
  }
  return Math.min(1, (1.8 * sum) / total);
}

const latticeSide = 256;

/** Smooth noise from 0 to 1 between random values at whole places, repeating every 256. */
function latticeNoise(random: Random): Noise {
  const lattice = new Float32Array(latticeSide * latticeSide).map(() => random.uniform());
  const mask = latticeSide - 1;
  const ease = (share: number) => share * share * (3 - 2 * share);
  return (x, y) => {
    const [left, top] = [Math.floor(x), Math.floor(y)];
    const [right, down] = [ease(x - left), ease(y - top)];
    const [row, next] = [(top & mask) * latticeSide, ((top + 1) & mask) * latticeSide];
    const [column, after] = [left & mask, (left + 1) & mask];
    const upper = (lattice[row + column] as number) * (1 - right) + (lattice[row + after] as number) * right;
    const lower = (lattice[next + column] as number) * (1 - right) + (lattice[next + after] as number) * right;
    return upper * (1 - down) + lower * down;
  };
}
