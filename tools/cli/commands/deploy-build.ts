/** @file `edgeshift deploy build`: what the bundle is on stdout; exit code 3 if the plan does not fit the device. */
import { basename } from 'node:path';
import { parseBytes } from '../../../runtime/plan/bytes-text.ts';
import { buildBundle } from '../../deploy/bundle/build.ts';
import { targetNamed } from '../../deploy/bundle/target.ts';
import { bundleText } from '../deploy-text.ts';
import { type Flags, given, textFlag } from '../flags.ts';

export async function run(_: readonly string[], flags: Flags): Promise<number> {
  const target = targetNamed(textFlag(flags, 'target') ?? '');
  const model = textFlag(flags, 'model') ?? '';
  const beside = textFlag(flags, 'beside');
  const out = textFlag(flags, 'out') ?? `${basename(model).replace(/\.onnx$/i, '')}-${target.name}.tar.gz`;
  const built = await buildBundle(
    {
      ...{ target, model, run: textFlag(flags, 'run') ?? '', withNode: flags.withNode === true },
      ...given({
        delta: textFlag(flags, 'delta'),
        device: textFlag(flags, 'device'),
        besideBytes: beside === undefined ? undefined : parseBytes('--beside', beside),
      }),
    },
    out,
  );
  const { files, ...facts } = built.manifest;
  if (flags.json === true) {
    console.log(JSON.stringify({ out, archiveBytes: built.bytes, ...facts, files: files.length }));
  } else process.stdout.write(bundleText(built));
  return 0;
}
