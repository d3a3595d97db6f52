/** @file `edgeshift devices`: the profiles that plans can be made for. */
import { listProfiles, loadProfile, thisMachine } from '../../../device-profiles/profiles.ts';
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import type { Flags } from '../flags.ts';

export async function run([name]: readonly string[], flags: Flags): Promise<number> {
  if (name !== undefined) {
    console.log(JSON.stringify(await loadProfile(name), null, flags.json === true ? undefined : 2));
    return 0;
  }
  const profiles = [...(await listProfiles()), await loadProfile(thisMachine)];
  if (flags.json === true) {
    console.log(JSON.stringify(profiles));
    return 0;
  }
  const rows = profiles.map(({ name: profile, title, limits }) => [
    profile,
    bytesText(limits.memoryBytes.value),
    `${limits.threads.value}`,
    title,
  ]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of [['profile', 'cap', 'threads', 'board'], ...rows]) {
    console.log(
      row
        .map((cell, column) => cell.padEnd(Math.max(widths[column] ?? 0, 7)))
        .join('  ')
        .trimEnd(),
    );
  }
  return 0;
}
