/** @file Records of runs that were never made, for what is computed from records alone. */
import type { Outcome, PlannedRun, ProfileRecord } from '../../tools/profiler/record.ts';

const planned: PlannedRun = {
  ...{ model: 'tiny', scheme: 'mobiletl 1', batch: 8, microBatch: 8, threads: 2, budgetBytes: 2 ** 30, totalBytes: 0 },
  bytes: {
    ...{ frozenWeights: 0, trainableWeights: 0, gradients: 0, optimizer: 0, saved: 0, workspace: 0, prefixPeak: 0 },
    ...{ base: 0, loading: 0, adaptation: 0, export: 0 },
  },
  ...{ arenaBytes: 0, blocks: [], atPeak: [], peakStep: 'forward Conv stem' },
};

interface Facts {
  readonly plannedBytes: number;
  readonly limitBytes: number | null;
  readonly status: Outcome['status'];
}

export function recordOf({ plannedBytes, limitBytes, status }: Facts): ProfileRecord {
  return {
    ...{ format: 'edgeshift profile', version: 1, command: ['train'], startedAt: '2026-11-21T00:00:00Z', millis: 1000 },
    machine: {
      ...{
        system: 'Linux',
        processor: 'x',
        cores: 2,
        memoryBytes: 2 ** 33,
        board: null,
        powerMode: null,
        commit: null,
      },
      versions: {},
    },
    rates: null,
    limit: { kind: 'cgroup v2', memoryBytes: limitBytes, cpus: null, cores: null, profile: null, refused: [] },
    outcome: {
      status,
      ...{ exitCode: status === 'finished' ? 0 : 1, signal: null, oomKills: 0 },
      errorText: status === 'failed' ? 'no such file' : '',
    },
    planned: { ...planned, totalBytes: plannedBytes, bytes: { ...planned.bytes, base: plannedBytes } },
    peak: { rssBytes: plannedBytes, pssBytes: null, cgroupBytes: null, arenaBytes: null },
    ...{ samples: [], marks: [], steps: [], energy: null, profiler: null, missing: [] },
  };
}
