/** @file Writes the table of claimed ops into kernels/README.md. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { writeAtomically } from '../../runtime/delta/atomic-file.ts';
import { claimedOps, withClaims } from './claims.ts';

const readme = fileURLToPath(new URL('../../../kernels/README.md', import.meta.url));
await writeAtomically(readme, [new TextEncoder().encode(withClaims(await readFile(readme, 'utf8')))]);
console.log(`kernels/README.md claims ${claimedOps().length} ONNX ops`);
