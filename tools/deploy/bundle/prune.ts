/** @file What is installed and never loaded: files that a bundle leaves out. */
import type { Unloaded } from './lock.ts';
import type { Target } from './target.ts';

/** onnxruntime-node's install script, which bundles never run, unpacks CUDA libraries with these; node-hid's compiles with the other. */
export const unloaded: Unloaded = {
  'onnxruntime-node': ['adm-zip', 'global-agent'],
  'node-hid': ['node-addon-api'],
};

/** Sources, types, source maps and texts; licences are none of them. */
const UNREAD = /\.(map|[cm]?ts|tsx|flow|md|markdown|c|cc|cpp|h|hpp|gypi?|m4|ac|am|sln|vcxproj|yml|yaml|tgz)$/i;
const LEGAL = /(^|\/)(licen[cs]e|notice|copying|third[-_]?party)[^/]*$/i;

/** Whether a file of a package is kept; `path` is seen from the package's folder. */
export function isKept(name: string, path: string, target: Pick<Target, 'os' | 'cpu'>): boolean {
  if (LEGAL.test(path) && !/\.(c?js|node)$/.test(path)) return true;
  return !UNREAD.test(path) && (ofPackage[name]?.(path, `${target.os}-${target.cpu}`) ?? true);
}

/** Packages that carry more than one platform's files, or parts that only an install script reads. */
const ofPackage: Readonly<Record<string, (path: string, platform: string) => boolean>> = {
  'onnxruntime-node': (path, platform) =>
    path.startsWith('bin/')
      ? path.startsWith(`bin/napi-v6/${platform.replace('-', '/')}/`)
      : !/^(script|lib|\.)/.test(path),
  // On Linux the one that reads /dev/hidraw is loaded unless somebody asks for libusb.
  'node-hid': (path, platform) =>
    path.startsWith('prebuilds/') ? path.startsWith(`prebuilds/HID_hidraw-${platform}/`) : !path.startsWith('hidapi/'),
};
