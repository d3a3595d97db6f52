/**
 * @file Versions of glibc that native libraries ask for, read from the libraries themselves.
 *
 * Layout of 64-bit little-endian ELF: System V ABI; of `.gnu.version_r`: Linux Standard Base, "Symbol Versioning".
 */

/** Section that lists the versions needed of other libraries. */
const SHT_GNU_VERNEED = 0x6ffffffe;

/** The newest glibc that any of the versions needed names, such as `2.28`; null if none does. */
export function newestGlibc(versions: Iterable<string>): string | null {
  const found = [...versions].flatMap((name) => {
    const [, major, minor] = /^GLIBC_(\d+)\.(\d+)/.exec(name) ?? [];
    return major === undefined || minor === undefined ? [] : [[Number(major), Number(minor)] as const];
  });
  const newest = found.sort(([a, b], [c, d]) => c - a || d - b)[0];
  return newest === undefined ? null : newest.join('.');
}

/** Names such as `GLIBC_2.17` and `GLIBCXX_3.4.11`; none for a file that is no such ELF, or needs none. */
export function versionsNeeded(file: Uint8Array): readonly string[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const isElf = file.length >= 64 && view.getUint32(0) === 0x7f454c46 && file[4] === 2 && file[5] === 1;
  if (!isElf) return [];
  const sections = sectionsOf(view);
  return sections
    .filter(({ type }) => type === SHT_GNU_VERNEED)
    .flatMap(({ offset, link, count }) => {
      const strings = sections[link];
      return strings === undefined ? [] : neededAt(file, view, offset, strings.offset, count);
    });
}

interface Section {
  readonly type: number;
  readonly offset: number;
  /** Index of the section with the names. */
  readonly link: number;
  /** Number of entries. */
  readonly count: number;
}

function sectionsOf(view: DataView): readonly Section[] {
  const start = Number(view.getBigUint64(0x28, true));
  const [size, count] = [view.getUint16(0x3a, true), view.getUint16(0x3c, true)];
  if (start === 0 || start + size * count > view.byteLength) return [];
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * size;
    return {
      type: view.getUint32(at + 4, true),
      offset: Number(view.getBigUint64(at + 0x18, true)),
      link: view.getUint32(at + 0x28, true),
      count: view.getUint32(at + 0x2c, true),
    };
  });
}

/** Elf64_Verneed: version, count, file, aux, next; Elf64_Vernaux: hash, flags, other, name, next. */
function neededAt(file: Uint8Array, view: DataView, start: number, strings: number, libraries: number): string[] {
  const names: string[] = [];
  let library = start;
  for (let n = 0; n < libraries; n++) {
    let version = library + view.getUint32(library + 8, true);
    for (let m = 0; m < view.getUint16(library + 2, true); m++) {
      names.push(textAt(file, strings + view.getUint32(version + 8, true)));
      version += view.getUint32(version + 12, true);
    }
    library += view.getUint32(library + 12, true);
  }
  return names;
}

const textAt = (file: Uint8Array, at: number): string =>
  new TextDecoder('latin1').decode(file.subarray(at, file.indexOf(0, at)));
