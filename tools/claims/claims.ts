/** @file The ONNX ops that edgeshift claims to read, and their table in kernels/README.md. */
import { composites } from '../../models/onnx/composites.ts';
import { generalLimits, operators } from '../../models/onnx/operators.ts';

/** One row of the table. */
export interface Claim {
  readonly op: string;
  /** The opset that brought the op; null: it is older than any file that is read. */
  readonly sinceOpset: number | null;
  /** Kernels it can become; none if the op vanishes. */
  readonly kernels: readonly string[];
  /** Reasons for which it stays opaque; an ellipsis stands for what changes from node to node. */
  readonly limits: readonly string[];
}

export function claimedOps(): readonly Claim[] {
  return Object.entries(operators)
    .map(([op, { becomes, limits, since }]) => ({ op, sinceOpset: since ?? null, kernels: becomes, limits }))
    .sort((a, b) => (a.op < b.op ? -1 : 1));
}

/** True if a reason given at import is that limit of the table. */
export function isWithin(reason: string, limit: string): boolean {
  const parts = limit.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(parts.join('.*'), 's').test(reason);
}

const START = '<!-- claims: written by tools/claims -->';
const END = '<!-- end of claims -->';

/** A line for each op and pattern, and what holds for all. */
export function claimsTable(): string {
  const rows = claimedOps().map(({ op, sinceOpset, kernels, limits }) =>
    [op, sinceOpset ?? '', kernels.length > 0 ? kernels.join(', ') : 'nothing', limits.join('; ')].join(' | '),
  );
  return [
    '| ONNX op | since opset | becomes | left opaque because |',
    '| --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row} |`),
    '',
    `Any op is left opaque because: ${generalLimits.join('; ')}.`,
    '',
    'Read as one op where exporters write several:',
    '',
    ...composites.map(({ title, becomes }) => `- ${title} (becomes ${becomes})`),
  ].join('\n');
}

/** The text with the table between its marks; throws if they are missing. */
export function withClaims(text: string): string {
  const [from, to] = [text.indexOf(START), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`kernels/README.md lacks the lines ${START} and ${END}`);
  return `${text.slice(0, from + START.length)}\n${claimsTable()}\n${text.slice(to)}`;
}
