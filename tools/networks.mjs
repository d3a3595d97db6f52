/**
 * @file `npm run networks [-- <part of a name> ...]`: installs and builds what is missing, then runs tools/networks. Plain
 * JavaScript, because it runs before anything is installed.
 */
import { ensureInstalled } from './setup.mjs';

ensureInstalled();
const { build } = await import('./build.mjs');
if (build()) await import('../dist/tools/networks/main.js');
else process.exitCode = 1;
