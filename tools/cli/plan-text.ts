/** @file Tables of `edgeshift plan`: the frontier, what fits on which device, papers' accounting, tensors. */
import type { DeviceProfile } from '../../device-profiles/schema.ts';
import { type Graph, shapeOf } from '../../runtime/graph/graph.ts';
import { bytesText } from '../../runtime/plan/bytes-text.ts';
import type { FrontierPoint } from '../../runtime/plan/frontier.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import { saveName } from '../../runtime/plan/savings.ts';
import type { TinyTlBytes } from '../../runtime/plan/tinytl.ts';
import { textTable } from './text-table.ts';

/** What a plan trains, in a few words. */
function trainsText({ scheme }: Plan): string {
  if (scheme.train.length > 0) return scheme.train.join(' ');
  return scheme.name === 'head' || scheme.name === 'full' ? scheme.name : `${scheme.name} ${scheme.blocks}`;
}

/** Seconds as people say them; a dash where they are not known. */
function secondsText(seconds: number | undefined): string {
  if (seconds === undefined) return '-';
  if (seconds < 1) return `${(1000 * seconds).toFixed(0)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
}

const row = (plan: Plan): string[] => [
  trainsText(plan),
  String(plan.trainableParameters),
  `${saveName(plan.savings)}${plan.savings.recompute ? ', recomputed' : ''}`,
  `${plan.microBatch} of ${plan.batch}`,
  bytesText(plan.storedForBackwardBytes),
  secondsText(plan.time?.stepSeconds),
];

const columns = ['trains', 'parameters', 'kept', 'pass', 'stored', 'step'] as const;

export function frontierText(points: readonly FrontierPoint[]): string {
  const rows = points.map(({ plan }) => [bytesText(plan.totalBytes), ...row(plan)]);
  const basis = points[0]?.plan.time?.basis;
  return [
    'From each budget on, the plan is:\n\n',
    textTable([['budget', ...columns], ...rows], [0, 2, 5, 6]),
    timeNote(basis),
  ].join('');
}

export interface DevicePlan {
  readonly profile: DeviceProfile;
  readonly plan: Plan;
}

export function devicesText(plans: readonly DevicePlan[]): string {
  const rows = plans.map(({ profile, plan }) => {
    const cap = bytesText(profile.limits.memoryBytes.value);
    if (!plan.fits) return [profile.name, cap, bytesText(plan.totalBytes), 'does not fit', '', '', '', '', ''];
    return [profile.name, cap, bytesText(plan.totalBytes), ...row(plan)];
  });
  return [
    textTable([['device', 'cap', 'needs', ...columns], ...rows], [1, 2, 4, 7, 8]),
    timeNote(plans.some(({ plan }) => plan.time) ? 'the rates of each profile (devices show <name>)' : undefined),
  ].join('');
}

function timeNote(basis: string | undefined): string {
  return basis === undefined
    ? '\nNo predicted times: the rates of this device are not known (devices calibrate measures them)\n'
    : `\nStep times are predictions from ${basis}\n`;
}

/** The rule papers compare with, beside ours. */
export function accountingText(
  plan: Plan,
  { parameterBytes, activationBytesPerImage, totalBytes }: TinyTlBytes,
): string {
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
  return [
    `TinyTL's accounting of ${plan.model.name} at ${plan.model.imageSize} px, ${trainsText(plan)}, batch ${plan.batch} (1 MB = 10^6 B)\n\n`,
    textTable(
      [
        ['parameters (4 B trained, 1 B frozen)', `${parameterBytes} B`, megabytes(parameterBytes)],
        [
          'activations at the worst layer, an image',
          `${activationBytesPerImage} B`,
          megabytes(activationBytesPerImage),
        ],
        [`total of a batch of ${plan.batch}`, `${totalBytes} B`, megabytes(totalBytes)],
      ],
      [1, 2],
    ),
    '\nGradients, optimizer state, workspace and the process itself count nothing in this rule; `--accounting edgeshift`\n',
    `counts them: ${plan.totalBytes} B, of which ${plan.storedForBackwardBytes} B are stored for backward.\n`,
  ].join('');
}

/** Every tensor a glob can name, and whether it trains. */
export function tensorRows(graph: Graph, plan: Plan) {
  const trained = new Set(plan.blocks.flatMap(({ trains }) => trains));
  return [...graph.parameters.values()].map(({ name, shape }) => ({ name, shape, trains: trained.has(name) }));
}

export function tensorsText(graph: Graph, rows: ReturnType<typeof tensorRows>): string {
  const lines = rows.map(({ name, shape, trains }) => [trains ? 'trains' : 'frozen', name, `[${shape}]`]);
  return `${textTable(lines)}\n${rows.length} tensors, input ${graph.input} [${shapeOf(graph, graph.input)}]\n`;
}
