/**
 * @file `npm test`: sets up what is missing, builds, runs every test and ends with the line `N passed, N failed`. Plain
 * JavaScript, because it runs before anything is installed. Arguments are handed to ava (files, `--match=...`).
 */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ensureInstalled } from './setup.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

ensureInstalled();
const { build } = await import('./build.mjs');
if (!build()) process.exit(1);

const ava = spawn(
  process.execPath,
  [join(root, 'node_modules/ava/entrypoints/cli.mjs'), '--tap', ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
let [passed, failed, skipped] = [0, 0, 0];
let showing = false;
for await (const line of createInterface({ input: ava.stdout })) {
  const [, not, title] = /^(not )?ok \d+ - (.*)$/.exec(line) ?? [];
  if (title !== undefined) {
    showing = not !== undefined;
    if (/# (SKIP|TODO)/.test(title)) skipped++;
    else if (not === undefined) passed++;
    else failed++;
  }
  // A failure with its details, and what tests say of themselves (such as why they were skipped).
  if (showing || /^#\s{2,}/.test(line)) console.log(line);
}
const code = await new Promise((resolve) => {
  if (ava.exitCode === null) ava.once('exit', resolve);
  else resolve(ava.exitCode);
});
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = code === 0 && failed === 0 && passed > 0 ? 0 : 1;
