/** @file A board as the laptop knows it: where `ssh` goes, and the folder there that is ours. */
import { UsageError } from '../../../runtime/errors.ts';

export interface Host {
  /** How reports name it: the destination, and the port where one was given. */
  readonly name: string;
  /** As `ssh` takes it: a name of its configuration, an address, or either with `user@` before it. */
  readonly destination: string;
  /** Null: what the configuration of `ssh` says. */
  readonly port: number | null;
  /** Folder on the board; one that does not begin with a slash lies in the user's home. */
  readonly root: string;
  readonly labels: readonly string[];
}

export const defaultRoot = 'edgeshift';

/** Neither part may begin with `-`, which `ssh` would read as an option. */
const DESTINATION = /^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_:[][A-Za-z0-9_.:%[\]-]*$/;
const ROOT = /^\/?[A-Za-z0-9_@+=,.][A-Za-z0-9_@+=,.~-]*(?:\/[A-Za-z0-9_@+=,.~-]+)*\/?$/;

/** @throws UsageError if the text cannot be the name of a host, a port or a folder */
export function hostOf(
  destination: string,
  options: { readonly port?: number; readonly root?: string; readonly labels?: readonly string[] } = {},
): Host {
  if (!DESTINATION.test(destination)) {
    throw new UsageError(`${JSON.stringify(destination)} is no host: expected host or user@host`, {
      host: destination,
    });
  }
  const port = options.port ?? null;
  if (port !== null && !(Number.isSafeInteger(port) && port >= 1 && port <= 65535)) {
    throw new UsageError(`the port of ${destination} must be 1 to 65535: ${port}`, { host: destination, port });
  }
  const root = rootOf(options.root ?? defaultRoot, destination);
  const name = port === null ? destination : `${destination}:${port}`;
  return { name, destination, port, root, labels: options.labels ?? [] };
}

function rootOf(text: string, host: string): string {
  const root = text.replace(/^~\//, '').replace(/(?<=.)\/+$/, '');
  if (ROOT.test(root) && !root.split('/').includes('..')) return root;
  throw new UsageError(
    `the folder of ${host} must be a plain path, such as edgeshift or /opt/edgeshift: ${JSON.stringify(text)}`,
    { host, root: text },
  );
}

/** Names of folders and files that come from a host: nothing of it is a path. */
export const folderName = ({ name, root }: Host): string =>
  `${name}${root === defaultRoot ? '' : `+${root}`}`.replaceAll(/[^A-Za-z0-9_@.+-]/g, '_');
