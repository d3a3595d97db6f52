/**
 * @file Memory of frozen prefixes against their accounting: each is opened and run in a fresh process, at several depths of several
 * networks. The constants of runtime/plan/accounting.ts come from it.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { materializeNetwork } from '../../models/networks/networks.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { prefixLoadingBytes, prefixRunBytes, prefixWeightBytes } from '../../runtime/plan/accounting.ts';
import { resolveConfig } from '../../runtime/train/options.ts';
import { prepareTraining } from '../../runtime/train/prepare.ts';
import { nodeProgram, runJson } from './launch.ts';
import { benchFolder, program } from './places.ts';
import type { PrefixMemory } from './prefix-run.ts';
import { facts, factsText, mib, table } from './report.ts';

export interface PrefixesOptions {
  /** Names in models/networks. */
  readonly networks: readonly string[];
  /** Top blocks that are not part of the prefix. */
  readonly depths: readonly number[];
  readonly threads: number;
  readonly json: boolean;
}

interface Row extends PrefixMemory {
  readonly network: string;
  readonly blocks: number;
  readonly plannedOpeningBytes: number;
  readonly plannedRunBytes: number;
}

export async function prefixes(options: PrefixesOptions): Promise<void> {
  const rows: Row[] = [];
  for (const network of options.networks) {
    for (const blocks of options.depths) {
      const row = await measure(network, blocks, options.threads);
      rows.push(row);
      console.error(cellsOf(row).join('  '));
    }
  }
  if (options.json) console.log(JSON.stringify({ prefixes: options, ...facts(), rows }));
  else console.log([factsText(facts()), '', table([header, ...rows.map(cellsOf)])].join('\n'));
}

async function measure(network: string, blocks: number, threads: number): Promise<Row> {
  const path = await materializeNetwork(network);
  const size = network.startsWith('wrn') ? 32 : 224;
  const scheme = blocks === 0 ? 'head' : 'shifts';
  const config = resolveConfig({
    ...{ model: path, data: '', run: '', scheme, blocks, batch: 1, threads, imageSize: size },
    budgetBytes: Number.MAX_SAFE_INTEGER,
  });
  const { model, graph, plan } = await prepareTraining(config, 2);
  const { cut, nodes } = { cut: plan.values.cut, nodes: graph.nodes.slice(0, plan.prefix.nodes) };
  const file = join(benchFolder, `prefix-${process.pid}.onnx`);
  await mkdir(benchFolder, { recursive: true });
  try {
    await writeFile(file, extractPrefix(model.file, graph, cut, 'beside') ?? '');
    const args = [file, dirname(path), size, threads].map(String);
    const measured = await runJson<PrefixMemory>(await nodeProgram(program('prefix-run'), args));
    return {
      ...{ network, blocks, ...measured },
      plannedOpeningBytes: prefixLoadingBytes(graph, nodes),
      plannedRunBytes: prefixWeightBytes(graph, nodes) + prefixRunBytes(graph, nodes, cut),
    };
  } finally {
    await rm(file, { force: true });
  }
}

const header = ['', 'blocks', 'open', 'opening planned', 'at most', 'over', 'running planned', 'at most', 'over'];

function cellsOf({ network, blocks, openedBytes, openingBytes, runBytes, ...planned }: Row): string[] {
  const { plannedOpeningBytes, plannedRunBytes } = planned;
  return [
    network,
    String(blocks),
    mib(openedBytes),
    ...[mib(plannedOpeningBytes), mib(openingBytes), mib(plannedOpeningBytes - openingBytes)],
    ...[mib(plannedRunBytes), mib(runBytes), mib(plannedRunBytes - runBytes)],
  ];
}
