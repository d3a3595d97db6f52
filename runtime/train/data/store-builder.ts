/**
 * @file Decodes every image once, a few at a time, and writes the pixels one after the other into a file.
 *
 * Images that cannot be decoded are noted and leave no gap. Nothing is held in memory but the images under way.
 */

import { open, rm } from 'node:fs/promises';
import { type DecodeOptions, type ImageSource, openDecoder } from './decode.ts';

/** Everything the work needs, as plain data: it crosses to another process. */
export interface StoreJob {
  readonly source: ImageSource;
  readonly decode: DecodeOptions;
  /** File to write; null only checks that every image can be decoded. */
  readonly file: string | null;
}

export interface StoreResult {
  /** Images decoded; image i of the file is `kept[i]` of the source. */
  readonly kept: readonly number[];
  readonly failed: readonly { readonly image: number; readonly reason: string }[];
}

export interface Progress {
  readonly done: number;
  readonly total: number;
}

/** Does the job; if writing fails the file is removed and the error passed on. */
export async function buildStore(job: StoreJob, onProgress: (progress: Progress) => void): Promise<StoreResult> {
  const decoder = await openDecoder(job.source, job.decode);
  const file = job.file === null ? null : await open(job.file, 'w');
  const kept: number[] = [];
  const failed: { image: number; reason: string }[] = [];
  try {
    // Rounds of a few images keep the order of the file fixed and the memory bounded.
    const round = 4 * job.decode.threads;
    for (let start = 0; start < decoder.images; start += round) {
      const count = Math.min(round, decoder.images - start);
      const decoded = await Promise.all(
        Array.from({ length: count }, (_, place) => decoder.decode(start + place).catch(() => null)),
      );
      const good: Uint8Array[] = [];
      for (const [place, first] of decoded.entries()) {
        const image = start + place;
        try {
          // libvips keeps one error text for all threads: only a second try, alone, says what is wrong with this image.
          good.push(first ?? (await decoder.decode(image)));
          kept.push(image);
        } catch (error) {
          failed.push({ image, reason: reasonText(error) });
        }
      }
      await file?.appendFile(Buffer.concat(good));
      onProgress({ done: start + count, total: decoder.images });
    }
    // Some file systems report a full disk only here.
    await file?.sync();
    await file?.close();
  } catch (error) {
    await file?.close().catch(() => undefined);
    if (job.file !== null) await rm(job.file, { force: true });
    throw error;
  }
  return { kept, failed };
}

/** sharp's message without the path, which is told beside it, on one line. */
function reasonText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .replace(/^Input file is missing: .*/, 'file is missing')
    .replaceAll(/\s*\n\s*/g, '; ')
    .trim();
}
