/** @file Names of the corruptions of CIFAR-C and ImageNet-C (Hendrycks and Dietterich, ICLR 2019). */

/** The 15 corruptions of the benchmark in the order in which streams run through them. */
export const corruptionNames = [
  'gaussian_noise',
  'shot_noise',
  'impulse_noise',
  'defocus_blur',
  'glass_blur',
  'motion_blur',
  'zoom_blur',
  'snow',
  'frost',
  'fog',
  'brightness',
  'contrast',
  'elastic_transform',
  'pixelate',
  'jpeg_compression',
] as const;

/** Four more of the same kind, on which hyper-parameters may be chosen without touching the benchmark. */
export const extraCorruptionNames = ['speckle_noise', 'gaussian_blur', 'spatter', 'saturate'] as const;

/** All 19. A corruption's position keys its random numbers: append only. */
export const allCorruptionNames = [...corruptionNames, ...extraCorruptionNames] as const;

export type CorruptionName = (typeof allCorruptionNames)[number];

/** 1 is weak, 5 is strong. */
export type Severity = 1 | 2 | 3 | 4 | 5;

export const severities = [1, 2, 3, 4, 5] as const satisfies readonly Severity[];
