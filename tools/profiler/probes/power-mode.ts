/** @file The power mode that a board is in now. */
import { execFileSync } from 'node:child_process';
import { detectDevice } from '../../../device-profiles/detect.ts';
import type { DeviceProfile } from '../../../device-profiles/schema.ts';

/** How long nvpmodel may take to answer. */
const ANSWER_MILLIS = 3000;

/** The board's own name of its mode, as nvpmodel tells it or its files do; null where there are no modes. @param detected if it is known already */
export async function powerMode(root: string, detected?: DeviceProfile): Promise<string | null> {
  const asked = root === '/' ? askNvpmodel() : null;
  if (asked !== null) return asked;
  const { id, name } = (detected ?? (await detectDevice(root))).powerMode;
  return id === undefined ? null : name;
}

/** Some releases answer root alone. */
function askNvpmodel(): string | null {
  try {
    const answer = execFileSync('nvpmodel', ['-q'], {
      encoding: 'utf8',
      timeout: ANSWER_MILLIS,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return parseNvpmodelQuery(answer);
  } catch {
    return null;
  }
}

/** The name in `NV Power Mode: MODE_15W_6CORE`, which a line with the mode's number follows. */
export function parseNvpmodelQuery(text: string): string | null {
  return /^NV Power Mode:\s*(\S+)\s*$/m.exec(text)?.[1] ?? null;
}
