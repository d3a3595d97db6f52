/**
 * @file `edgeshift devices`: the profiles that plans can be made for; `show`, `detect` and `calibrate`.
 *
 * A name without a word before it prints that profile as JSON.
 */
import { alikeProfiles } from '../../../device-profiles/detect.ts';
import { listProfiles, loadProfile, thisMachine } from '../../../device-profiles/profiles.ts';
import { rooflineRates } from '../../../device-profiles/rates.ts';
import type { DeviceProfile } from '../../../device-profiles/schema.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { type Flags, numberFlag, textFlag } from '../flags.ts';
import { profileTable, profileText } from './devices-text.ts';

export async function run([word, name, ...more]: readonly string[], flags: Flags): Promise<number> {
  if (more.length > 0) throw new UsageError(`devices takes at most two words: ${JSON.stringify(more[0])}`);
  if (word !== 'calibrate' && flags.out !== undefined) throw new UsageError('--out belongs to `devices calibrate`');
  if (word === 'show') {
    if (name === undefined) throw new UsageError('devices show needs the name or the path of a profile');
    return show(await loadProfile(name), flags);
  }
  if (name !== undefined) throw new UsageError(`devices ${word} takes no second word: ${JSON.stringify(name)}`);
  if (word === undefined) return list(flags);
  if (word === 'detect') return detect(flags);
  if (word === 'calibrate') return measure(flags);
  console.log(JSON.stringify(await loadProfile(word), null, flags.json === true ? undefined : 2));
  return 0;
}

async function list(flags: Flags): Promise<number> {
  const profiles = [...(await listProfiles()), await loadProfile(thisMachine)];
  if (flags.json === true) console.log(JSON.stringify(profiles));
  else process.stdout.write(profileTable(profiles));
  return 0;
}

function show(profile: DeviceProfile, flags: Flags): number {
  if (flags.json === true) console.log(JSON.stringify(profile));
  else process.stdout.write(`${profileText(profile)}\n${ratesText(profile)}\n`);
  return 0;
}

/** What predictions of time are made from. */
function ratesText(profile: DeviceProfile): string {
  const rates = rooflineRates(profile);
  if (rates === null) return 'no prediction of time: neither calibrated rates nor both peaks are known';
  const [gigaflops, gigabytes] = [rates.flopsPerSecond / 1e9, rates.bytesPerSecond / 1e9];
  return `predictions of time use ${gigaflops.toFixed(1)} GFLOPS and ${gigabytes.toFixed(1)} GB/s (${rates.basis})`;
}

async function detect(flags: Flags): Promise<number> {
  const machine = await loadProfile(thisMachine);
  show(machine, flags);
  // JSON stays a profile that --device can read.
  if (flags.json === true) return 0;
  const names = alikeProfiles(machine, await listProfiles())
    .map(({ name }) => name)
    .join(' or ');
  console.log(names === '' ? 'no shipped profile is of this board in this power mode' : `shipped profile: ${names}`);
  return 0;
}

/** The profile goes to the file, or to stdout where none is named; what was measured is said on stderr. */
async function measure(flags: Flags): Promise<number> {
  const out = textFlag(flags, 'out');
  const threads = numberFlag(flags, 'threads');
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1)) {
    throw new UsageError(`--threads must be a whole number from 1: ${threads}`);
  }
  // Loaded here, since it brings onnxruntime with it, which a list of profiles has no need of.
  const { calibrate, profileName, writeProfile } = await import('../../../device-profiles/calibrate.ts');
  console.error('edgeshift: measuring for about three seconds; what else runs meanwhile lowers the rates');
  const profile = await calibrate({ ...(out && { name: profileName(out) }), ...(threads && { threads }) });
  if (out !== undefined) await writeProfile(out, profile);
  if (flags.json === true || out === undefined) console.log(JSON.stringify(profile, null, flags.json === true ? 0 : 2));
  else process.stdout.write(`${profileText(profile)}\n${ratesText(profile)}\n`);
  if (out !== undefined) console.error(`edgeshift: wrote ${out}; give it to --device as ${asPath(out)}`);
  return 0;
}

/** What `--device` knows for a path: it ends in .json or has a slash. */
function asPath(path: string): string {
  return path.includes('/') || path.endsWith('.json') ? path : `./${path}`;
}
