/** @file Device profiles as text: one line each in a table, or every figure of one with its origin. */
import type { DeviceProfile, Figure } from '../../../device-profiles/schema.ts';
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import { textTable } from '../text-table.ts';

const columns = ['profile', 'memory', 'usable', 'cap', 'cores', 'GB/s', 'CPU GFLOPS', 'GPU GFLOPS', 'board'] as const;

/**
 * The table of `edgeshift devices`. A dash stands for a figure that is not known. Where a machine was calibrated and has
 * no published peak, its measured rates stand in the columns.
 */
export function profileTable(profiles: readonly DeviceProfile[]): string {
  const rows = profiles.map((profile) => [
    profile.name,
    sizeCell(profile.memoryTotalBytes),
    sizeCell(profile.memoryUsableBytes),
    sizeCell(profile.limits.memoryBytes),
    `${profile.cpu.cores.value}`,
    gigaCell(profile.memoryBandwidthBytesPerSecond ?? profile.rates?.copyBytesPerSecond),
    gigaCell(profile.cpuFlopsPerSecond ?? profile.rates?.gemmFlopsPerSecond),
    gigaCell(profile.gpu?.flopsPerSecond),
    profile.title,
  ]);
  return textTable([[...columns], ...rows], [1, 2, 3, 4, 5, 6, 7]);
}

/** Every figure of a profile: field, value in the unit of the field's name, kind, source and its note. */
export function profileText(profile: DeviceProfile): string {
  const { name, title, modules, powerMode, cpu, gpu } = profile;
  const mode = powerMode.id === undefined ? powerMode.name : `${powerMode.name} (nvpmodel ${powerMode.id})`;
  const head = [
    ['title', title],
    ['modules', modules.join(', ') || '-'],
    ['power mode', mode],
    ['CPU', `${cpu.model}, ${cpu.architecture}`],
    ...(gpu ? [['GPU', `${gpu.model}${gpu.computeCapability ? `, ${gpu.computeCapability}` : ''}`]] : []),
  ];
  const figures = figuresOf(profile).map(([field, { value, kind, source }]) => [
    field,
    valueText(field, value),
    kind,
    source,
  ]);
  const sources = Object.entries(profile.sources).map(([key, text]) => `  ${key}: ${text}`);
  return [
    name,
    textTable(head.map((row) => ['', ...row])),
    textTable([['figure', 'value', 'kind', 'source'], ...figures], [1]),
    `sources\n${sources.join('\n')}\n`,
  ].join('\n');
}

/** Figures anywhere below a value, with the path of their field. */
function figuresOf(value: unknown, path = ''): [string, Figure][] {
  if (typeof value !== 'object' || value === null) return [];
  if ('kind' in value && 'value' in value && 'source' in value) return [[path, value as Figure]];
  return Object.entries(value).flatMap(([key, child]) => figuresOf(child, path === '' ? key : `${path}.${key}`));
}

function valueText(field: string, value: number): string {
  if (/PerSecond$/.test(field)) return `${(value / 1e9).toFixed(2)} G`;
  return /Bytes$/.test(field) ? bytesText(value) : `${value}`;
}

function sizeCell(figure: Figure | undefined): string {
  return figure ? `${Math.round(figure.value / 2 ** 20)} MiB` : '-';
}

function gigaCell(figure: Figure | undefined): string {
  return figure ? (figure.value / 1e9).toFixed(1) : '-';
}
