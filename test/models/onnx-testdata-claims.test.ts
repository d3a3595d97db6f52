/** The table of claimed ops in kernels/README.md, which tools/claims makes from the importer's own tables. */
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { kernels } from '../../kernels/index.ts';
import { composites } from '../../models/onnx/composites.ts';
import { operators } from '../../models/onnx/operators.ts';
import { claimedOps, isWithin, withClaims } from '../../tools/claims/claims.ts';

test('the claims in kernels/README.md are current', async (t) => {
  const text = await readFile(new URL('../../../kernels/README.md', import.meta.url), 'utf8');
  t.is(text, withClaims(text), 'Hint: node dist/tools/claims/main.js writes the table anew');
});

test('every op that a rule reads is claimed, once', (t) => {
  const ops = claimedOps().map(({ op }) => op);
  t.deepEqual(ops, Object.keys(operators).sort());
});

test('every kernel is what some op becomes', (t) => {
  const reached = new Set<string>([
    ...claimedOps().flatMap(({ kernels }) => kernels),
    ...composites.map((c) => c.becomes),
  ]);
  // BatchNorm is what the scheme makes of an Affine with statistics, Distance what it puts beside meta networks.
  const others = Object.keys(kernels).filter((op) => !reached.has(op));
  t.deepEqual(others, ['BatchNorm', 'Distance']);
});

test('a text without the marks is refused', (t) => {
  t.throws(() => withClaims('# kernels'), { message: /lacks the lines <!-- claims/ });
});

test('a limit stands for all reasons that differ where its ellipsis is', (t) => {
  t.true(isWithin('its scale is not a constant of 8 values', 'its … is not a constant of … values'));
  t.true(isWithin('it broadcasts [1,2] and [3]', 'it broadcasts […] and […]'));
  t.false(isWithin('its scale is not known', 'its … is not a constant of … values'));
});
