/** @file The one table of methods. */
import type { Method } from '../method.ts';
import { cotta } from './cotta.ts';
import { eata } from './eata.ts';
import { ecotta } from './ecotta.ts';
import { edgeshift } from './edgeshift.ts';
import { none } from './none.ts';
import { bnAlpha, bnBatch, bnEma } from './norm-statistics.ts';
import { rotta } from './rotta.ts';
import { sar } from './sar.ts';
import { tent } from './tent.ts';

export const methods = {
  none,
  'bn-batch': bnBatch,
  'bn-alpha': bnAlpha,
  'bn-ema': bnEma,
  tent,
  eata,
  sar,
  cotta,
  rotta,
  ecotta,
  edgeshift,
} satisfies Record<string, Method>;

export type MethodName = keyof typeof methods;
export const methodNames = Object.keys(methods) as MethodName[];

export const methodOf = (name: MethodName): Method => methods[name];
