/** @file The runtime as it is published, without what only compilers and editors read. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BundleFile, textFile } from './bundle-file.ts';
import type { LockedPackage } from './lock.ts';
import { npm } from './npm.ts';

/** Folder of this package: a checkout, or where it was installed; seen from the compiled file. */
export const packageRoot = fileURLToPath(new URL('../../../../', import.meta.url));

/** What builds bundles and brings them to boards is of no use there. */
const DEPLOYING = 'dist/tools/deploy/';

/** Files that a running program reads. */
const LOADED = /\.(js|wasm|json|rules)$|(^|\/)LICENSE$/;

/**
 * Everything of `app/` but `node_modules`.
 * @throws ExecutionError if npm fails
 */
export async function appFiles(root: string, { name, version, dependencies }: LockedPackage): Promise<BundleFile[]> {
  const [packed] = JSON.parse(await npm(root, ['pack', '--dry-run', '--json', '--ignore-scripts'])) as [
    { readonly files: readonly { readonly path: string }[] },
  ];
  const isCheckout = existsSync(join(root, 'tsconfig.json'));
  const paths = packed.files
    .map(({ path }) => path)
    .filter((path) => path !== 'package.json' && !path.startsWith(DEPLOYING) && LOADED.test(path))
    .filter((path) => !(isCheckout && isStale(root, path)));
  const manifest = { name, version, type: 'module', private: true, dependencies };
  return [
    textFile('app/package.json', `${JSON.stringify(manifest, null, 1)}\n`),
    ...paths.map((path): BundleFile => ({ path: `app/${path}`, mode: '644', content: join(root, path) })),
  ];
}

/** Compiled from a source that is there no more: the compiler leaves such files behind. */
function isStale(root: string, path: string): boolean {
  const [, module] = /^dist\/(.*)\.js$/.exec(path) ?? [];
  return module !== undefined && !existsSync(join(root, `${module}.ts`));
}
