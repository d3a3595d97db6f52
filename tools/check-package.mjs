/** @file Checks the package as it would be published: entry points, types, size. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build } from './build.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const MAX_BYTES = 2e6;

if (!build()) process.exit(1);
const { messages, pkg } = await publint({ pkgDir: root, strict: true });
for (const message of messages) console.error(`publint: ${formatMessage(message, pkg) ?? message.code}`);

const folder = mkdtempSync(join(tmpdir(), 'edgeshift-pack-'));
try {
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  );
  const { size } = statSync(join(folder, packed.filename));
  console.log(`${packed.filename}: ${(size / 1e6).toFixed(2)} MB packed, ${packed.files.length} files`);
  if (messages.length > 0 || size > MAX_BYTES) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
