/** @file A slow line to a port that is cut after so many bytes. */
import { connect, createServer, type Socket } from 'node:net';

export interface CutLine {
  readonly port: number;
  /** Bytes that went towards the port, all connections together. */
  sent(): number;
  close(): void;
}

/** Between two pieces, so that what was sent has mostly arrived when the line is cut, as on a slow line. */
const PAUSE_MILLIS = 10;

/** @param cutAfter bytes towards `port`; Infinity never cuts */
export async function cutLine(port: number, cutAfter: number): Promise<CutLine> {
  let sent = 0;
  const sockets = new Set<Socket>();
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket
        .on('error', () => undefined)
        .on('close', () => {
          near.destroy();
          far.destroy();
        });
    }
    far.pipe(near);
    near.on('data', (bytes: Buffer) => {
      const part = bytes.subarray(0, Math.max(0, cutAfter - sent));
      sent += bytes.length;
      if (part.length < bytes.length) {
        // What still fits goes out before the line is dead.
        far.write(part, cut);
      } else {
        far.write(part);
        near.pause();
        setTimeout(() => near.resume(), PAUSE_MILLIS);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    sent: () => sent,
    close: () => {
      cut();
      server.close();
    },
  };
}
