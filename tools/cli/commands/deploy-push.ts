/** @file `edgeshift deploy push`: a bundle to one board, or to a fleet in waves. */
import { readdir } from 'node:fs/promises';
import { UsageError } from '../../../runtime/errors.ts';
import { OpenBundle } from '../../deploy/host/bundle.ts';
import type { Host } from '../../deploy/host/host.ts';
import { type PushOptions, push, pushDefaults, serviceManagers } from '../../deploy/host/push.ts';
import type { RolloutReport } from '../../deploy/host/rollout.ts';
import { rolloutJson, rolloutText } from '../../deploy/host/rollout-text.ts';
import { runRollout } from '../../deploy/host/run-rollout.ts';
import { chosenHosts, sshOptions } from '../deploy-host-flags.ts';
import { choiceFlag, countFlag, type Flags } from '../flags.ts';

export async function run(words: readonly string[], flags: Flags): Promise<number> {
  const names = words.filter((word) => !isArchive(word));
  const archives = words.filter(isArchive);
  if (archives.length > 1) throw new UsageError(`one bundle at a time: ${archives.join(', ')}`);
  const hosts = await chosenHosts(names, flags);
  const options = pushOptions(flags);
  const waves = {
    canary: countFlag(flags, 'canary', 0) ?? 1,
    parallel: countFlag(flags, 'parallel', 1) ?? 4,
    maxFailures: countFlag(flags, 'maxFailures', 0) ?? 0,
  };
  await using bundle = await OpenBundle.open(archives[0] ?? (await onlyArchive()));
  const interrupted = new AbortController();
  const stop = () => interrupted.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const report = await runRollout(hosts, {
    ...waves,
    release: bundle.manifest.id,
    signal: interrupted.signal,
    push: (host: Host) => push(bundle, host, options, (text) => console.error(`${host.name}: ${text}`)),
  });
  process.off('SIGINT', stop).off('SIGTERM', stop);
  return show(report, flags);
}

const isArchive = (word: string): boolean => /\.(?:tar\.gz|tgz)$/.test(word);

async function onlyArchive(): Promise<string> {
  const found = (await readdir('.')).filter(isArchive);
  const [archive] = found;
  if (archive !== undefined && found.length === 1) return archive;
  throw new UsageError(
    `name the bundle: this folder has ${found.length === 0 ? 'no .tar.gz' : `several: ${found.join(', ')}`}`,
  );
}

function pushOptions(flags: Flags): PushOptions {
  return {
    ssh: sshOptions(flags),
    healthTimeout: countFlag(flags, 'healthTimeout', 1) ?? pushDefaults.healthTimeout,
    healthSeconds: countFlag(flags, 'healthSeconds', 0) ?? pushDefaults.healthSeconds,
    keep: countFlag(flags, 'keep', 1) ?? pushDefaults.keep,
    manager: choiceFlag(flags, 'service', serviceManagers) ?? null,
  };
}

/** 0 if every host serves the release, 3 if all that failed were too small, else 1. */
function show(report: RolloutReport, flags: Flags): number {
  const failed = report.hosts.filter((outcome) => outcome.failed);
  if (flags.json === true) console.log(JSON.stringify(rolloutJson(report)));
  else process.stdout.write(rolloutText(report));
  for (const { reason } of failed) console.error(`edgeshift: ${reason}`);
  if (failed.length === 0 && report.stopped === null) return 0;
  return failed.length > 0 && failed.every(({ code }) => code === 'BUDGET') ? 3 : 1;
}
