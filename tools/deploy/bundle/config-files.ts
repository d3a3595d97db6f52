/** @file What tells the service how it runs: environment, arguments, units, and the scripts that start and install it. */
import { fileURLToPath } from 'node:url';
import { type BundleFile, textFile } from './bundle-file.ts';
import { systemUnit, type UnitOptions, userUnit } from './unit.ts';

/** Begins an argument that is a path inside of the bundle; `service/run` puts the bundle's own path in its place. */
export const BUNDLE_MARK = '@BUNDLE@/';

/** As the first line of tools/cli/main.ts: one malloc heap that gives freed pages back at once. */
const allocation = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '1048576',
  MALLOC_TRIM_THRESHOLD_: '1048576',
} as const;

/** Scripts are not compiled: from `dist/tools/deploy/bundle/` they lie four levels up. */
const script = (path: string): string => fileURLToPath(new URL(`../../../../tools/deploy/${path}`, import.meta.url));

export interface ServiceOptions extends UnitOptions {
  readonly run: readonly string[];
  /** Folder of the run that goes on where it is there already, seen from the state folder; null: there is none. */
  readonly continues: string | null;
}

/** Everything of `config/` and `service/` that does not depend on the device. */
export function serviceFiles({ run, continues, ...unit }: ServiceOptions): readonly BundleFile[] {
  const environment = { ...allocation, ...(continues !== null && { EDGESHIFT_RUN: continues }) };
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\n`);
  return [
    textFile('config/edgeshift.env', lines.join('')),
    textFile('config/run', run.map((argument) => `${argument}\n`).join('')),
    textFile('service/edgeshift.service', systemUnit(unit)),
    textFile('service/edgeshift-user.service', userUnit(unit)),
    { path: 'service/run', mode: '755', content: script('bundle/service-run.sh') },
    { path: 'service/board.sh', mode: '755', content: script('board/board.sh') },
  ];
}
