/** @file Small bundles in the real format, whose service is a shell script that does as it is told. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Random } from '../../runtime/train/random.ts';
import { type BundleFile, hashed, inOrder, textFile } from '../../tools/deploy/bundle/bundle-file.ts';
import { type Manifest, manifestOf, sumsText } from '../../tools/deploy/bundle/manifest.ts';
import { writeBundle } from '../../tools/deploy/bundle/write-bundle.ts';

const boardScript = fileURLToPath(new URL('../../../tools/deploy/board/board.sh', import.meta.url));

/**
 * What the service does: becomes ready and stays so; never says more than `starting`; says that it failed; is ready and
 * dies; says that it is another release; ends at once.
 */
export type Behaviour = 'ready' | 'never' | 'failed' | 'dies' | 'wrong' | 'crashes';

export interface TinyBundle {
  /** Makes it another release than others. */
  readonly name: string;
  readonly behaviour?: Behaviour;
  /** Files of noise, which does not compress, each of so many bytes. */
  readonly ballast?: { readonly files: number; readonly bytes: number; readonly seed: number };
  readonly facts?: Partial<Pick<Manifest, 'target' | 'node' | 'glibc' | 'memory'>>;
}

/** A board whose state folder has a file `unhealthy` with a bundle's name does not become healthy with that one. */
const service = `#!/bin/sh
bundle=$(cd "$(dirname "$0")/.." && pwd)
state=\${bundle%/releases/*}/state
id=\${bundle##*/}
read -r behaviour < "$bundle/config/behaviour"
read -r name < "$bundle/config/name"
if [ "$(cat "$state/unhealthy" 2> /dev/null)" = "$name" ]; then behaviour=failed; fi
cd "$state" || exit 1
status() {
  printf '{"state":"%s","pid":%s,"release":"%s","frames":7,"updates":2,"error":"%s"}\\n' "$1" $$ "$id" "$2" > status.new.$$
  mv status.new.$$ status.json
}
trap 'status stopping; [ -z "\${!-}" ] || kill $!; exit 0' TERM
[ "$behaviour" = crashes ] && exit 1
[ "$behaviour" = wrong ] && id=0000000000000000
status starting
if [ "$behaviour" = failed ]; then
  status failed 'no camera at \\"/dev/video0\\"'
  exit 1
fi
if [ "$behaviour" != never ]; then
  status ready
  echo "$name is ready"
  echo "{\\"release\\":\\"$id\\"}" >> decisions.jsonl
fi
[ "$behaviour" = dies ] && sleep 1 && exit 1
while :; do
  sleep 600 &
  wait $!
done
`;

export async function tinyFiles({ name, behaviour = 'ready', ballast, facts }: TinyBundle) {
  const noise = Array.from({ length: ballast?.files ?? 0 }, (_, n) =>
    noiseFile(n, ballast?.bytes ?? 0, ballast?.seed ?? 0),
  );
  const files = inOrder([
    textFile('app/package.json', '{"type":"module"}\n'),
    textFile('config/behaviour', `${behaviour}\n`),
    textFile('config/name', `${name}\n`),
    textFile('config/run', 'adapt\n'),
    textFile('service/run', service, '755'),
    { path: 'service/board.sh', mode: '755', content: await readFile(boardScript) },
    ...noise,
  ]);
  const manifest = manifestOf({
    ...{ version: '0.1.0', target: process.arch === 'arm64' ? 'linux-arm64' : 'linux-x64', node: null, glibc: '2.17' },
    ...{ device: null, memory: null, run: ['adapt'], files: await Promise.all(files.map(hashed)) },
    ...facts,
  });
  return { files, manifest };
}

function noiseFile(n: number, bytes: number, seed: number): BundleFile {
  const random = new Random(seed, n);
  const words = Uint32Array.from({ length: Math.ceil(bytes / 4) }, () => random.bits());
  return { path: `model/part-${n}.bin`, mode: '644', content: new Uint8Array(words.buffer, 0, bytes) };
}

/** Files with their manifest and sums, whatever these say. */
export async function withSums(files: readonly BundleFile[], manifest: Manifest): Promise<readonly BundleFile[]> {
  const text = textFile('manifest.json', `${JSON.stringify(manifest)}\n`);
  const sums = sumsText([...manifest.files, await hashed(text)]);
  return inOrder([...files, text, textFile('SHA256SUMS', sums)]);
}

/** Writes one; gives back its id. */
export async function tinyBundle(path: string, options: TinyBundle): Promise<string> {
  const { files, manifest } = await tinyFiles(options);
  await writeBundle(path, await withSums(files, manifest));
  return manifest.id;
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
