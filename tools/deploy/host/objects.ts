/** @file Files on their way to the board: objects, named by their content. */
import { createReadStream } from 'node:fs';
import { tarEnd, tarHeader, tarPadding } from '../bundle/tar.ts';
import type { UnpackedFile } from './bundle.ts';

/** Name of an object: sha256 of its content, with `.x` behind it if it may be executed. */
export const objectKey = ({ sha256, mode }: Pick<UnpackedFile, 'sha256' | 'mode'>): string =>
  mode === '755' ? `${sha256}.x` : sha256;

/** One file of each object, in their order. */
export function distinctObjects(files: readonly UnpackedFile[]): readonly UnpackedFile[] {
  return [...new Map(files.map((file) => [objectKey(file), file])).values()];
}

/** `key path` of each file, as `board.sh assemble` reads them. */
export const layoutText = (files: readonly UnpackedFile[]): string =>
  files.map((file) => `${objectKey(file)} ${file.path}\n`).join('');

/** A tar of objects in the folders of `ROOT/objects`. @param onSent told of the bytes of contents so far */
export async function* objectsTar(
  files: readonly UnpackedFile[],
  onSent: (bytes: number) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  let sent = 0;
  for (const file of files) {
    const key = objectKey(file);
    yield tarHeader({ path: `${key.slice(0, 2)}/${key.slice(2)}`, mode: file.mode, bytes: file.bytes });
    for await (const part of createReadStream(file.at) as AsyncIterable<Uint8Array>) {
      sent += part.length;
      yield part;
      onSent(sent);
    }
    yield tarPadding(file.bytes);
  }
  yield tarEnd();
}
