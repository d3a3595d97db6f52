/** @file A runtime small enough to be bundled in a moment, by the functions that bundle the real one; and what is in a bundle. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { textFile } from '../../tools/deploy/bundle/bundle-file.ts';
import { installedFiles } from '../../tools/deploy/bundle/dependencies.ts';
import type { Lock } from '../../tools/deploy/bundle/lock.ts';
import type { RuntimeFiles } from '../../tools/deploy/bundle/runtime-files.ts';
import { sbom } from '../../tools/deploy/bundle/sbom.ts';
import type { Target } from '../../tools/deploy/bundle/target.ts';

const execute = promisify(execFile);

/** A runtime that needs two packages, which need one in two versions, one for arm64 and one for x64, and one to be installed. */
export const tinyLock: Lock = {
  ...{ name: 'edgeshift', version: '0.1.0', lockfileVersion: 3 },
  packages: {
    '': { name: 'edgeshift', version: '0.1.0', dependencies: { both: '1.0.0', 'onnxruntime-node': '1.0.0' } },
    'node_modules/both': {
      ...{ version: '1.0.0', license: '(MIT OR X11)', integrity: 'sha512-AAEC', dependencies: { inner: '2.0.0' } },
      optionalDependencies: { '@native/linux-arm64': '1.0.0', '@native/linux-x64': '1.0.0' },
    },
    'node_modules/both/node_modules/inner': { version: '2.0.0', license: 'MIT' },
    'node_modules/inner': { version: '1.0.0', license: 'MIT' },
    'node_modules/@native/linux-arm64': { version: '1.0.0', optional: true, os: ['linux'], cpu: ['arm64'] },
    'node_modules/@native/linux-x64': { version: '1.0.0', optional: true, os: ['linux'], cpu: ['x64'] },
    'node_modules/onnxruntime-node': { version: '1.0.0', dependencies: { inner: '1.0.0', 'adm-zip': '1.0.0' } },
    'node_modules/adm-zip': { version: '1.0.0' },
  },
};

/** What npm would have installed, as paths below node_modules. */
const installed: Readonly<Record<string, string>> = {
  'both/index.js': 'export const both = 1;\n',
  'both/index.d.ts': 'export declare const both: number;\n',
  'both/LICENSE.md': 'Do as you like.\n',
  'both/README.md': 'Reads well.\n',
  'both/node_modules/inner/index.js': 'export const inner = 2;\n',
  'inner/index.js': 'export const inner = 1;\n',
  'inner/index.js.map': '{}\n',
  '@native/linux-arm64/lib.node': 'arm64\n',
  '@native/linux-x64/lib.node': 'x64\n',
  'onnxruntime-node/bin/napi-v6/linux/arm64/binding.node': 'arm64\n',
  'onnxruntime-node/bin/napi-v6/linux/x64/binding.node': 'x64\n',
  'onnxruntime-node/bin/napi-v6/win32/x64/binding.node': 'win32\n',
  'onnxruntime-node/dist/index.js': 'export {};\n',
  'onnxruntime-node/script/install.js': 'export {};\n',
  'adm-zip/adm-zip.js': 'export {};\n',
  '.package-lock.json': '{}\n',
};

/** Says which release it is, and with what it was started. */
const program = 'console.log(process.env.EDGESHIFT_RELEASE, JSON.stringify(process.argv.slice(2)));\n';

/**
 * Lays the packages out in a folder and takes of them what a bundle takes.
 * @param turn files are written in another order and with other modes for odd ones
 */
export async function tinyRuntime(folder: string, target: Target, turn = 0): Promise<RuntimeFiles> {
  const entries = Object.entries(installed);
  for (const [path, text] of turn % 2 === 0 ? entries : entries.toReversed()) {
    const file = join(folder, 'node_modules', path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    if (turn % 2 === 1) await chmod(file, 0o700);
  }
  const { files, needs } = await installedFiles(folder, tinyLock, target);
  const own = [textFile('app/dist/tools/cli/main.js', program), textFile('sbom.json', sbom(tinyLock, needs, []))];
  return { files: [...files, ...own], version: tinyLock.version, node: null };
}

/** Unpacks with the system's tar. */
export async function unpack(archive: string, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  await execute('tar', ['-xzpf', archive, '-C', folder]);
  return folder;
}

/** Checks the sums of an unpacked bundle as a board does. @throws what sha256sum says */
export async function checkSums(folder: string): Promise<void> {
  await execute('sha256sum', ['-c', '--quiet', '--strict', 'SHA256SUMS'], { cwd: folder });
}

/** What npm says when it is the network that fails; null if it is something else. */
export const offlineReason = (message: string): string | null =>
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT)\b/.exec(message)?.[0] ??
  null;
