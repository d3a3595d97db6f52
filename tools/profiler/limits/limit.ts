/** @file What every way to hold a command in its limits has in common. */
import type { ControlGroup } from '../../../device-profiles/probes/group-memory.ts';
import type { LimitKind } from '../record.ts';

export type { ControlGroup } from '../../../device-profiles/probes/group-memory.ts';

/** At least one of them. */
export interface LimitWanted {
  readonly memoryBytes: number | null;
  /** CPU time in cores; may be a fraction. */
  readonly cpus: number | null;
}

/** Holds one command; disposing of it ends whatever is left of the command. */
export interface Holder extends AsyncDisposable {
  readonly kind: LimitKind;
  /** CPU time in cores that the command is held to; null: not limited. */
  readonly cpus: number | null;
  /** The command line that runs `command` held. */
  wrap(command: readonly string[]): readonly string[];
  /** To be told the command's process as soon as it runs; gives the group that counts its memory, null where there is none. */
  started(pid: number): Promise<ControlGroup | null>;
  /** Processes of the command that were killed for memory so far; null where nothing counts them. */
  oomKills(): number | null;
}

/** Makes a holder. @throws Refused */
export type TakeHold = (wanted: LimitWanted, root: string) => Promise<Holder>;

/** A kind of limit cannot be had here; the message is the reason, a part of a sentence. */
export class Refused extends Error {}

/** Runs what the system may refuse. @throws Refused */
export async function orRefused<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof Refused) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new Refused(`${what}: ${code ?? message}`, { cause });
  }
}
