/**
 * @file `npm run claims`: installs and builds what is missing, then writes the table of ONNX ops into kernels/README.md. Plain
 * JavaScript, because it runs before anything is installed.
 */
import { ensureInstalled } from './setup.mjs';

ensureInstalled();
const { build } = await import('./build.mjs');
if (build()) await import('../dist/tools/claims/main.js');
else process.exitCode = 1;
