/** @file Runs the command line in a checkout: installs and builds what is missing first. */
import { ensureInstalled } from './setup.mjs';

ensureInstalled();
const { build } = await import('./build.mjs');
if (build()) await import('../dist/tools/cli/main.js');
else process.exitCode = 1;
