/**
 * @file Finds device profiles: those that ship with the package, a file of the user's, or the machine itself.
 */

import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProfileError } from '../runtime/errors.ts';
import { detectDevice } from './detect.ts';
import type { DeviceProfile } from './schema.ts';

/** Name of the profile that is read from the running system. */
export const thisMachine = 'this-machine';

/** The JSON files are not compiled: from `dist/device-profiles/` they lie two levels up. */
const folder = fileURLToPath(new URL('../../device-profiles/', import.meta.url));

/** Profiles that ship with the package, sorted by name; `this-machine` is not among them. */
export async function listProfiles(): Promise<DeviceProfile[]> {
  const names = await shippedNames();
  return Promise.all(names.map(readShipped));
}

/**
 * Loads a profile by name (`jetson-nano-4gb`, `jetson-nano-4gb@5W`, `this-machine`) or from a JSON file (anything with a
 * slash or `.json`).
 *
 * Case does not matter in a name. The mode may be written as nvpmodel does (`jetson-xavier-nx-8gb@MODE_15W_2CORE`), and
 * that of the profile without an @ may be written out (`jetson-nano-4gb@MAXN`).
 *
 * @throws ProfileError if there is no such profile or it is malformed.
 */
export async function loadProfile(nameOrPath: string): Promise<DeviceProfile> {
  if (nameOrPath === thisMachine) return detectDevice();
  if (nameOrPath.includes('/') || nameOrPath.endsWith('.json')) {
    return readProfile(nameOrPath, nameOrPath);
  }
  const names = await shippedNames();
  const [board = '', mode] = nameOrPath.toLowerCase().split('@');
  const name = mode === undefined ? board : `${board}@${mode.replace(/^mode_/, '')}`;
  if (names.includes(name)) return readShipped(name);
  if (mode !== undefined && names.includes(board)) {
    const usual = await readShipped(board);
    if (usual.powerMode.name.toLowerCase() === mode || usual.powerMode.name.toLowerCase() === `mode_${mode}`)
      return usual;
    throw unknownMode(nameOrPath, usual, names);
  }
  const boards = names.filter((known) => !known.includes('@'));
  throw new ProfileError(
    `device "${nameOrPath}": expected one of ${[thisMachine, ...boards].join(', ')}\n` +
      'Hint: `edgeshift devices` lists the power modes as well; a profile of your own is given by its path, for example ' +
      './my-board.json.',
    { device: nameOrPath, known: [thisMachine, ...names] },
  );
}

function unknownMode(device: string, usual: DeviceProfile, names: readonly string[]): ProfileError {
  const modes = names.filter((name) => name.startsWith(`${usual.name}@`)).map((name) => name.split('@')[1] ?? '');
  const others = modes.length > 0 ? `, or one of ${modes.join(', ')}` : '';
  return new ProfileError(
    `device "${device}": expected the power mode ${usual.powerMode.name} (${usual.name})${others}\n` +
      'Hint: `nvpmodel -q` tells the mode of a board.',
    { device, board: usual.name, modes: [usual.powerMode.name, ...modes] },
  );
}

async function shippedNames(): Promise<string[]> {
  const files = await readdir(folder);
  return files
    .filter((file) => file.endsWith('.json'))
    .map((file) => basename(file, '.json'))
    .sort();
}

async function readShipped(name: string): Promise<DeviceProfile> {
  const file = `${name}.json`;
  const profile = await readProfile(`${folder}${file}`, file);
  if (profile.name !== name) {
    throw new ProfileError(`${file}: name: expected "${name}" (the file's name) but got "${profile.name}"`, { file });
  }
  return profile;
}

/** @param file what an error calls it */
async function readProfile(path: string, file: string): Promise<DeviceProfile> {
  const text = await readText(path);
  // Loaded for a file only: the validator takes longer to load than everything else here, and this-machine needs none.
  const { parseProfile } = await import('./schema.ts');
  return parseProfile(text, file);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ProfileError(
      `${path}: cannot read the device profile (${cause instanceof Error ? cause.message : String(cause)})`,
      { file: path },
      { cause },
    );
  }
}
