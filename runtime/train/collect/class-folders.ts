/** @file Labelled images on disk, `folder/class/image.png`: written, moved to another class, removed, counted. */
import { access, constants, mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { imageName } from '../../adapt/streams/folder-source.ts';
import { diskError, removeTemporaries, writeAtomically } from '../../delta/atomic-file.ts';

/** An image of this session. */
export interface SavedImage {
  /** Index of its class. */
  readonly label: number;
  readonly path: string;
}

/** One writer at a time; whoever labels the same folder from elsewhere shows in the counts of the next session only. */
export class ClassFolders {
  readonly folder: string;
  readonly classes: readonly string[];
  readonly #counts: number[];
  /** Labels of the class folders that this session made, which are removed when they are empty again. */
  readonly #made = new Set<number>();

  private constructor(folder: string, classes: readonly string[], counts: number[]) {
    this.folder = folder;
    this.classes = classes;
    this.#counts = counts;
  }

  /**
   * Makes the folder if it is not there, counts its images, and removes what a killed process left half-written.
   * @param classes names that `collectedClasses` has checked
   * @throws DataError if it cannot be written to
   */
  static async open(folder: string, classes: readonly string[]): Promise<ClassFolders> {
    try {
      await mkdir(folder, { recursive: true });
      await access(folder, constants.W_OK | constants.X_OK);
    } catch (cause) {
      throw diskError(folder, cause);
    }
    const counts: number[] = [];
    for (const name of classes) {
      await removeTemporaries(join(folder, name));
      counts.push((await namesIn(join(folder, name))).filter((file) => imageName.test(file)).length);
    }
    return new ClassFolders(folder, classes, counts);
  }

  /** Images of each class, those of earlier sessions among them. */
  counts(): readonly number[] {
    return [...this.#counts];
  }

  /**
   * Writes an image whole or not at all, under a name that is not taken.
   * @param stem of its name
   * @param pixels u8, RGB, channels-last, side x side x 3; kept as they are
   * @throws DataError if the disk refuses
   */
  async write(stem: string, label: number, pixels: Uint8Array, side: number): Promise<SavedImage> {
    const { default: sharp } = await import('sharp');
    const png = await sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
      .png()
      .toBuffer();
    const path = await this.#freePath(stem, label);
    await writeAtomically(path, [png]);
    this.#counts[label] = this.#countOf(label) + 1;
    return { label, path };
  }

  /** @throws DataError if the disk refuses */
  async move(stem: string, image: SavedImage, label: number): Promise<SavedImage> {
    const path = await this.#freePath(stem, label);
    await rename(image.path, path).catch((cause: unknown) => {
      throw diskError(path, cause);
    });
    this.#counts[label] = this.#countOf(label) + 1;
    await this.#left(image.label);
    return { label, path };
  }

  /** @throws DataError if the disk refuses */
  async remove({ path, label }: SavedImage): Promise<void> {
    await rm(path, { force: true }).catch((cause: unknown) => {
      throw diskError(path, cause);
    });
    await this.#left(label);
  }

  #countOf(label: number): number {
    return this.#counts[label] ?? 0;
  }

  async #left(label: number): Promise<void> {
    this.#counts[label] = this.#countOf(label) - 1;
    // Training refuses a class without images. A folder with something else in it stays.
    if (this.#made.has(label)) await rmdir(this.#folderOf(label)).catch(() => undefined);
  }

  #folderOf(label: number): string {
    return join(this.folder, this.classes[label] as string);
  }

  async #freePath(stem: string, label: number): Promise<string> {
    const folder = this.#folderOf(label);
    const made = await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
      throw diskError(folder, cause);
    });
    if (made !== undefined) this.#made.add(label);
    let path = join(folder, `${stem}.png`);
    for (let n = 2; await isThere(path); n++) path = join(folder, `${stem}-${n}.png`);
    return path;
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** None if it is not there or no folder, which writing into it will tell. */
async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}
