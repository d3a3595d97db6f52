/** @file What each key does: `1=cat,2=dog,u=undo,s=skip`. */
import { UsageError } from '../../errors.ts';

export type KeyAction = { readonly kind: 'label'; readonly class: number } | { readonly kind: 'undo' | 'skip' };

/** By the key's name. */
export type KeyMapping = ReadonlyMap<string, KeyAction>;

export interface MappingOptions {
  /** Number of classes of the model. */
  readonly classCount: number;
  /** Name of each class, null if they are not known. */
  readonly classes: readonly string[] | null;
  /** Names of the keys of the device. */
  readonly keys: readonly string[];
  /** Whether a key can also mean `skip`; default false. */
  readonly skip?: boolean;
}

const UNDO = 'undo';
const SKIP = 'skip';
/** Keys that a text names; a keyboard has too many. */
const SHOWN_KEYS = 20;

/**
 * Reads `key=class` pairs between commas. A class is given by its name, or else by its number from 0; one that is
 * called `undo` (or `skip`, where there is that), or whose name has a comma in it, by its number. Several keys may do the
 * same.
 *
 * @throws UsageError with every fault of the text at once
 */
export function parseKeyMapping(text: string, options: MappingOptions): KeyMapping {
  const faults: string[] = [];
  const mapping = new Map<string, KeyAction>();
  for (const pair of text.split(',').map((part) => part.trim())) {
    const [key = '', what = ''] = splitPair(pair);
    const action = actionOf(what, options);
    if (key === '' || what === '') faults.push(`"${pair}": expected <key>=<class> or <key>=${UNDO}`);
    else if (!options.keys.includes(key)) faults.push(`"${pair}": expected the key to be ${keysText(options.keys)}`);
    else if (mapping.has(key)) faults.push(`"${pair}": the key ${key} was given before`);
    else if (action === null) faults.push(`"${pair}": expected the class to be ${classText(options)}`);
    else mapping.set(key, action);
  }
  if (faults.length === 0 && [...mapping.values()].every(({ kind }) => kind !== 'label')) {
    faults.push('expected a key for at least one class');
  }
  if (faults.length > 0) {
    throw new UsageError(`label keys: ${faults.join('\n  ')}\nHint: such as 1=${options.classes?.[0] ?? 0},3=${UNDO}`, {
      text,
      faults,
    });
  }
  return mapping;
}

/** Keys are names in lower case, classes are as they are. */
function splitPair(pair: string): readonly string[] {
  const at = pair.indexOf('=');
  return at < 0 ? [pair] : [pair.slice(0, at).trim().toLowerCase(), pair.slice(at + 1).trim()];
}

function actionOf(what: string, { classes, classCount, skip = false }: MappingOptions): KeyAction | null {
  if (what === UNDO) return { kind: 'undo' };
  if (what === SKIP && skip) return { kind: 'skip' };
  const named = classes?.indexOf(what) ?? -1;
  if (named >= 0) return { kind: 'label', class: named };
  const number = /^\d+$/.test(what) ? Number(what) : classCount;
  return number < classCount ? { kind: 'label', class: number } : null;
}

function keysText(keys: readonly string[]): string {
  const more = keys.length > SHOWN_KEYS ? ', ...' : '';
  return `one of ${keys.slice(0, SHOWN_KEYS).join(', ')}${more}`;
}

function classText({ classes, classCount }: MappingOptions): string {
  return `${classes ? `a name, such as "${classes[0]}", or ` : ''}a number from 0 to ${classCount - 1}`;
}
