/**
 * @file How strong each corruption is, severity 1 to 5, for small and for large images.
 *
 * Source: `make_cifar_c.py` (32 px) and `make_imagenet_c.py` (224 px) of Hendrycks and Dietterich, "Benchmarking Neural
 * Network Robustness to Common Corruptions and Perturbations", ICLR 2019. Values in [0, 1] unless a label says bytes.
 */
import type { CorruptionName } from './names.ts';

/** Parameters of one severity of each corruption. */
export interface CorruptionParameters {
  /** Standard deviation. */
  readonly gaussian_noise: number;
  /** Photons of a white pixel. */
  readonly shot_noise: number;
  /** Share of values that become 0 or 1. */
  readonly impulse_noise: number;
  readonly defocus_blur: readonly [radiusPixels: number, aliasSigma: number];
  readonly glass_blur: readonly [sigma: number, reachPixels: number, rounds: number];
  readonly motion_blur: readonly [radiusPixels: number, sigma: number];
  readonly zoom_blur: readonly [endFactor: number, step: number];
  readonly snow: readonly [
    mean: number,
    deviation: number,
    zoom: number,
    threshold: number,
    blurRadius: number,
    blurSigma: number,
    keep: number,
  ];
  readonly frost: readonly [imageWeight: number, frostWeight: number];
  readonly fog: readonly [amount: number, decay: number];
  /** Added to the HSV value. */
  readonly brightness: number;
  /** Factor of the distance to the channel's mean. */
  readonly contrast: number;
  /** In shares of the image's side. */
  readonly elastic_transform: readonly [strength: number, sigma: number, affine: number];
  /** Resolution left, as a share. */
  readonly pixelate: number;
  /** JPEG quality, 1 to 100. */
  readonly jpeg_compression: number;
  /** Standard deviation of the factor. */
  readonly speckle_noise: number;
  readonly gaussian_blur: number;
  readonly spatter: readonly [
    mean: number,
    deviation: number,
    sigma: number,
    threshold: number,
    /** Of water its opacity, of mud the sigma of its edge. */
    strength: number,
    liquid: 'water' | 'mud',
  ];
  /** Factor and summand of the HSV saturation. */
  readonly saturate: readonly [factor: number, summand: number];
}

type Five<T> = readonly [T, T, T, T, T];

export type SeverityTable = { readonly [Name in CorruptionName]: Five<CorruptionParameters[Name]> };

export interface CorruptionTable {
  readonly name: 'CIFAR-C' | 'ImageNet-C';
  readonly parameters: SeverityTable;
}

/** For 32 px. */
const cifar: SeverityTable = {
  gaussian_noise: [0.04, 0.06, 0.08, 0.09, 0.1],
  shot_noise: [500, 250, 100, 75, 50],
  impulse_noise: [0.01, 0.02, 0.03, 0.05, 0.07],
  defocus_blur: [
    [0.3, 0.4],
    [0.4, 0.5],
    [0.5, 0.6],
    [1, 0.2],
    [1.5, 0.1],
  ],
  glass_blur: [
    [0.05, 1, 1],
    [0.25, 1, 1],
    [0.4, 1, 1],
    [0.25, 1, 2],
    [0.4, 1, 2],
  ],
  motion_blur: [
    [6, 1],
    [6, 1.5],
    [6, 2],
    [8, 2],
    [9, 2.5],
  ],
  zoom_blur: [
    [1.06, 0.01],
    [1.11, 0.01],
    [1.16, 0.01],
    [1.21, 0.01],
    [1.26, 0.01],
  ],
  snow: [
    [0.1, 0.2, 1, 0.6, 8, 3, 0.95],
    [0.1, 0.2, 1, 0.5, 10, 4, 0.9],
    [0.15, 0.3, 1.75, 0.55, 10, 4, 0.9],
    [0.25, 0.3, 2.25, 0.6, 12, 6, 0.85],
    [0.3, 0.3, 1.25, 0.65, 14, 12, 0.8],
  ],
  frost: [
    [1, 0.2],
    [1, 0.3],
    [0.9, 0.4],
    [0.85, 0.4],
    [0.75, 0.45],
  ],
  fog: [
    [0.2, 3],
    [0.5, 3],
    [0.75, 2.5],
    [1, 2],
    [1.5, 1.75],
  ],
  brightness: [0.05, 0.1, 0.15, 0.2, 0.3],
  contrast: [0.75, 0.5, 0.4, 0.3, 0.15],
  elastic_transform: [
    [0, 0, 0.08],
    [0.05, 0.2, 0.07],
    [0.08, 0.06, 0.06],
    [0.1, 0.04, 0.05],
    [0.1, 0.03, 0.03],
  ],
  pixelate: [0.95, 0.9, 0.85, 0.75, 0.65],
  jpeg_compression: [80, 65, 58, 50, 40],
  speckle_noise: [0.06, 0.1, 0.12, 0.16, 0.2],
  gaussian_blur: [0.4, 0.6, 0.7, 0.8, 1],
  spatter: [
    [0.62, 0.1, 0.7, 0.7, 0.5, 'water'],
    [0.65, 0.1, 0.8, 0.7, 0.5, 'water'],
    [0.65, 0.3, 1, 0.69, 0.5, 'water'],
    [0.65, 0.1, 0.7, 0.69, 0.6, 'mud'],
    [0.65, 0.1, 0.5, 0.68, 0.6, 'mud'],
  ],
  saturate: [
    [0.3, 0],
    [0.1, 0],
    [1.5, 0],
    [2, 0.1],
    [2.5, 0.2],
  ],
};

/** The source takes its elastic lengths from 244 px although its images have 224. */
const elasticScale = 244 / 224;

/** For 224 px. */
const imageNet: SeverityTable = {
  gaussian_noise: [0.08, 0.12, 0.18, 0.26, 0.38],
  shot_noise: [60, 25, 12, 5, 3],
  impulse_noise: [0.03, 0.06, 0.09, 0.17, 0.27],
  defocus_blur: [
    [3, 0.1],
    [4, 0.5],
    [6, 0.5],
    [8, 0.5],
    [10, 0.5],
  ],
  glass_blur: [
    [0.7, 1, 2],
    [0.9, 2, 1],
    [1, 2, 3],
    [1.1, 3, 2],
    [1.5, 4, 2],
  ],
  motion_blur: [
    [10, 3],
    [15, 5],
    [15, 8],
    [15, 12],
    [20, 15],
  ],
  zoom_blur: [
    [1.11, 0.01],
    [1.16, 0.01],
    [1.21, 0.02],
    [1.26, 0.02],
    [1.31, 0.03],
  ],
  snow: [
    [0.1, 0.3, 3, 0.5, 10, 4, 0.8],
    [0.2, 0.3, 2, 0.5, 12, 4, 0.7],
    [0.55, 0.3, 4, 0.9, 12, 8, 0.7],
    [0.55, 0.3, 4.5, 0.85, 12, 8, 0.65],
    [0.55, 0.3, 2.5, 0.85, 12, 12, 0.55],
  ],
  frost: [
    [1, 0.4],
    [0.8, 0.6],
    [0.7, 0.7],
    [0.65, 0.7],
    [0.6, 0.75],
  ],
  fog: [
    [1.5, 2],
    [2, 2],
    [2.5, 1.7],
    [2.5, 1.5],
    [3, 1.4],
  ],
  brightness: [0.1, 0.2, 0.3, 0.4, 0.5],
  contrast: [0.4, 0.3, 0.2, 0.1, 0.05],
  elastic_transform: [
    [2 * elasticScale, 0.7 * elasticScale, 0.1 * elasticScale],
    [2 * elasticScale, 0.08 * elasticScale, 0.2 * elasticScale],
    [0.05 * elasticScale, 0.01 * elasticScale, 0.02 * elasticScale],
    [0.07 * elasticScale, 0.01 * elasticScale, 0.02 * elasticScale],
    [0.12 * elasticScale, 0.01 * elasticScale, 0.02 * elasticScale],
  ],
  pixelate: [0.6, 0.5, 0.4, 0.3, 0.25],
  jpeg_compression: [25, 18, 15, 10, 7],
  speckle_noise: [0.15, 0.2, 0.35, 0.45, 0.6],
  gaussian_blur: [1, 2, 3, 4, 6],
  spatter: [
    [0.65, 0.3, 4, 0.69, 0.6, 'water'],
    [0.65, 0.3, 3, 0.68, 0.6, 'water'],
    [0.65, 0.3, 2, 0.68, 0.5, 'water'],
    [0.65, 0.3, 1, 0.65, 1.5, 'mud'],
    [0.67, 0.4, 1, 0.65, 1.5, 'mud'],
  ],
  saturate: [
    [0.3, 0],
    [0.1, 0],
    [2, 0],
    [5, 0.1],
    [20, 0.2],
  ],
};

/** Largest side in pixels that the CIFAR-C table serves. */
export const largestSmallSide = 64;

/**
 * The table for images of a side. Lengths in pixels stay as they are in the table, whatever the side; only what its source
 * derives from the side follows it: elastic lengths, the pixelated size, the size of fog's map, frost's crop.
 */
export function tableFor(side: number): CorruptionTable {
  return side <= largestSmallSide
    ? { name: 'CIFAR-C', parameters: cifar }
    : { name: 'ImageNet-C', parameters: imageNet };
}
