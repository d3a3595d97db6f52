/** @file Opens any source of frames from plain options. */

import type { Readable } from 'node:stream';
import { UsageError } from '../../errors.ts';
import type { Fit } from '../../train/data/decode.ts';
import { ByteSource } from './byte-source.ts';
import { CommandSource, type RestartOptions } from './command-source.ts';
import { FolderSource } from './folder-source.ts';
import { defaultFrameBytes, openFrameDecoder } from './frame-decoder.ts';
import type { FrameSource } from './frame-source.ts';
import { type HttpOptions, HttpSource } from './http-source.ts';
import type { RawSize, StreamFormat } from './split.ts';
import { WatchedFolderSource, type WatchOptions } from './watched-folder-source.ts';

interface DecodeFrames {
  /** Side of the network's input in pixels. */
  readonly imageSize: number;
  /** How a frame that is not square is made so; default `fill`, as in training. */
  readonly fit?: Fit;
}

interface ByteStreamOptions {
  /** Default `auto`. */
  readonly format?: StreamFormat;
  /** Of raw frames. */
  readonly size?: RawSize;
  /** A stream without the end of an image within so many bytes is an error; default 64 MiB. */
  readonly limitBytes?: number;
}

export type SourceOptions = DecodeFrames &
  (
    | {
        readonly kind: 'folder';
        readonly folder: string;
        /** How often it is read; default 1. */
        readonly loops?: number;
        /** Index of the first frame that is given, of a run that is continued; default 0. */
        readonly first?: number;
      }
    | ({ readonly kind: 'watch'; readonly folder: string } & Partial<WatchOptions>)
    | ({ readonly kind: 'stream'; readonly name: string; readonly stream: Readable } & ByteStreamOptions)
    | ({ readonly kind: 'command'; readonly command: string } & ByteStreamOptions & Partial<RestartOptions>)
    | ({ readonly kind: 'http' } & Partial<HttpOptions>)
  );

/**
 * @throws UsageError if options contradict each other
 * @throws DataError if there is nothing to read from
 */
export async function openSource(options: SourceOptions): Promise<FrameSource> {
  const { imageSize, fit = 'fill' } = options;
  const decoder = (limitBytes: number) => openFrameDecoder({ imageSize, fit, limitBytes });
  switch (options.kind) {
    case 'folder':
      return FolderSource.open(
        options.folder,
        options.loops ?? 1,
        options.first ?? 0,
        await decoder(defaultFrameBytes),
      );
    case 'watch': {
      const { existing = false, settleMillis = 200 } = options;
      return WatchedFolderSource.open(options.folder, { existing, settleMillis }, await decoder(defaultFrameBytes));
    }
    case 'stream': {
      const format = byteFormat(options);
      return new ByteSource(options.name, options.stream, format, await decoder(format.limitBytes));
    }
    case 'command': {
      const { command, restarts = 0, backOffMillis = 1000 } = options;
      const format = byteFormat(options);
      return new CommandSource(command, format, { restarts, backOffMillis }, await decoder(format.limitBytes));
    }
    case 'http': {
      const { kind: _kind, imageSize: _side, fit: _fit, ...given } = options;
      const http = { ...httpDefaults, ...given };
      return HttpSource.open(http, await decoder(http.limitBytes));
    }
  }
}

const httpDefaults: HttpOptions = {
  host: '127.0.0.1',
  port: 0,
  token: null,
  limitBytes: 16 * 2 ** 20,
  mostPending: 64,
  timeoutMillis: 30_000,
  onLabel: null,
  stats: null,
};

function byteFormat({ format = 'auto', size, limitBytes = defaultFrameBytes }: ByteStreamOptions) {
  if ((format === 'raw') !== (size !== undefined)) {
    throw new UsageError(
      format === 'raw'
        ? 'raw frames: expected their size, such as 640x480'
        : `size: only raw frames need it, not ${format}`,
      { format, size },
    );
  }
  if (size === undefined) return { format: format as Exclude<StreamFormat, 'raw'>, limitBytes };
  const frameBytes = size.width * size.height * 3;
  if (!(frameBytes > 0) || !Number.isSafeInteger(frameBytes) || frameBytes > limitBytes) {
    throw new UsageError(
      `size: expected frames of 1 to ${limitBytes} bytes but ${size.width}x${size.height} takes ${frameBytes}`,
      { size, limitBytes },
    );
  }
  return { format: size, limitBytes };
}
