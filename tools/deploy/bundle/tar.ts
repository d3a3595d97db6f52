/**
 * @file A tar archive (POSIX.1-1988 ustar, with pax records for what does not fit) in which nothing but paths, modes and bytes says
 * anything: no times, owners or names of them.
 */

const BLOCK = 512;

export interface TarEntry {
  readonly path: string;
  readonly mode: '644' | '755';
  readonly bytes: number;
}

/** What stands before a file's bytes. */
export function tarHeader(entry: TarEntry): Uint8Array {
  const split = splitPath(entry.path);
  if (split !== null) return header(entry, split, '0');
  const record = new TextEncoder().encode(paxRecord('path', entry.path));
  const pax = { path: '', mode: '644', bytes: record.length } as const;
  const short = { name: entry.path.slice(-100), prefix: '' };
  const parts = [
    header(pax, { name: 'PaxHeader', prefix: '' }, 'x'),
    record,
    tarPadding(record.length),
    header(entry, short, '0'),
  ];
  return Buffer.concat(parts);
}

/** What stands after so many bytes of a file. */
export const tarPadding = (bytes: number): Uint8Array => new Uint8Array((BLOCK - (bytes % BLOCK)) % BLOCK);

/** What stands after the last file. */
export const tarEnd = (): Uint8Array => new Uint8Array(2 * BLOCK);

interface SplitPath {
  readonly name: string;
  readonly prefix: string;
}

/** A name of 100 bytes at most, and folders of 155; null if the path cannot be cut so. */
function splitPath(path: string): SplitPath | null {
  if (path.length <= 100) return { name: path, prefix: '' };
  const at = path.indexOf('/', path.length - 101);
  return at < 0 || at > 155 ? null : { name: path.slice(at + 1), prefix: path.slice(0, at) };
}

/** Its own length counts, with the digits of that. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return `${length}${rest}`;
}

function header({ mode, bytes }: TarEntry, { name, prefix }: SplitPath, type: '0' | 'x'): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  block.write(name, 0, 'latin1');
  block.write(`0000${mode}\0`, 100, 'latin1');
  block.write(octal(0, 7), 108, 'latin1');
  block.write(octal(0, 7), 116, 'latin1');
  block.write(octal(bytes, 11), 124, 'latin1');
  block.write(octal(0, 11), 136, 'latin1');
  block.write(' '.repeat(8), 148, 'latin1');
  block.write(type, 156, 'latin1');
  block.write('ustar\0', 257, 'latin1');
  block.write('00', 263, 'latin1');
  block.write(prefix, 345, 'latin1');
  // The sum of the block, whose own field counts as spaces.
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
