/** @file A loader hook that notes every URL a process imports in the file that EDGESHIFT_MODULE_LOG names. */
import { appendFileSync } from 'node:fs';
import type { LoadHook } from 'node:module';

export const load: LoadHook = (url, context, next) => {
  appendFileSync(process.env.EDGESHIFT_MODULE_LOG ?? '', `${url}\n`);
  return next(url, context);
};
