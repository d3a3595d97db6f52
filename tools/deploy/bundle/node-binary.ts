/** @file Node itself, from the npm package that holds the official build of a platform. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundleFile } from './bundle-file.ts';
import { npmCi } from './npm.ts';
import type { Extra } from './sbom.ts';
import type { Target } from './target.ts';

/** Long-term support until April 2027. */
export const NODE_VERSION = '22.23.3';

/** Of the packages' tarballs. */
const integrity: Readonly<Record<Target['cpu'], string>> = {
  arm64: 'sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==',
  x64: 'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
};

/** As the software bill of materials lists it. */
export const nodePackage = ({ os, cpu }: Target): Extra => ({
  ...{ name: `node-${os}-${cpu}`, version: NODE_VERSION, license: 'MIT', integrity: integrity[cpu] },
});

/**
 * @param folder a folder of its own, which is filled
 * @throws ExecutionError if npm fails
 */
export async function installNode(folder: string, target: Target): Promise<readonly BundleFile[]> {
  const { name, version, license, integrity } = nodePackage(target);
  const manifest = { name: 'node-of-the-bundle', version: '1.0.0', dependencies: { [name]: version } };
  const place = `node_modules/${name}`;
  const packages = { '': manifest, [place]: { version, license, integrity } };
  const { name: root, version: rootVersion } = manifest;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
  await writeFile(
    join(folder, 'package-lock.json'),
    JSON.stringify({ name: root, version: rootVersion, lockfileVersion: 3, requires: true, packages }),
  );
  await npmCi(folder, target);
  return [
    { path: 'node/bin/node', mode: '755', content: join(folder, place, 'bin', 'node') },
    { path: 'node/LICENSE', mode: '644', content: join(folder, place, 'LICENSE') },
  ];
}
