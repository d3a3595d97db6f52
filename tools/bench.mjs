/**
 * @file `npm run bench -- <name>`: installs and builds what is missing, then runs one of tools/bench. Plain JavaScript,
 * because it runs before anything is installed.
 */
import { ensureInstalled } from './setup.mjs';

ensureInstalled();
const { build } = await import('./build.mjs');
if (build()) await import('../dist/tools/bench/main.js');
else process.exitCode = 1;
