/** @file The machine, power mode and versions that a measurement holds for. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, release, type } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { alikeProfiles, detectDevice } from '../../device-profiles/detect.ts';
import { listProfiles } from '../../device-profiles/profiles.ts';
import { rooflineRates } from '../../device-profiles/rates.ts';
import type { DeviceProfile } from '../../device-profiles/schema.ts';
import type { Rates } from '../../runtime/plan/plan.ts';
import { commitOf } from './commit.ts';
import { powerMode } from './probes/power-mode.ts';
import type { Machine } from './record.ts';

/** The package's folder, seen from the compiled file in dist/tools/profiler. */
const packageFolder = fileURLToPath(new URL('../../../', import.meta.url));

/** @param root folder that holds `proc`, `sys`, `etc` and `var` */
export async function describeMachine(root = '/'): Promise<Machine> {
  const device = await detectDevice(root);
  // Without a board's title the processor's name stands in its place.
  const isBoard = device.modules.length > 0 || device.title !== device.cpu.model;
  return {
    system: `${type()} ${release()} ${arch()}`,
    processor: device.cpu.model,
    cores: device.cpu.cores.value,
    memoryBytes: device.memoryTotalBytes.value,
    board: isBoard ? device.title : null,
    powerMode: await powerMode(root, device),
    // An installed package may lie inside of somebody else's repository.
    commit: existsSync(join(packageFolder, '.git')) ? commitOf(packageFolder) : null,
    versions: {
      edgeshift: versionOf(join(packageFolder, 'package.json')),
      node: process.versions.node,
      'onnxruntime-node': versionOf(createRequire(import.meta.url).resolve('onnxruntime-node/package.json')),
    },
  };
}

/**
 * What this machine can do: by the given profile if it is one of this machine, else by the one that ships of this board. A profile
 * that was calibrated names the processor it was calibrated on.
 * @returns null if neither is, or has no rates
 */
export async function machineRates(given: DeviceProfile | null, root = '/'): Promise<Rates | null> {
  const machine = await detectDevice(root);
  const isOwn = given?.rates !== undefined && given.cpu.model === machine.cpu.model;
  if (given !== null && isOwn) return rooflineRates(given);
  const [alike] = alikeProfiles(machine, [...(given === null ? [] : [given]), ...(await listProfiles())]);
  return alike === undefined ? null : rooflineRates(alike);
}

const versionOf = (file: string): string => (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
