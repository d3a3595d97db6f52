/** @file What a bundle is made of, as a CycloneDX 1.5 document: packages with licence, place of origin and hash. */
import { createHash } from 'node:crypto';
import { type Lock, type LockedPackage, type Needs, nameAt } from './lock.ts';

/** A program that is in the bundle and in no lock file. */
export type Extra = Required<Pick<LockedPackage, 'name' | 'version' | 'license' | 'integrity'>>;

/** JSON text. The same packages give the same bytes: there are no times, and the serial number is made of the rest. */
export function sbom(lock: Lock, needs: Needs, extras: readonly Extra[]): string {
  const places = [...needs.keys()].filter((place) => place !== '').sort();
  const refOf = (place: string): string => {
    const { name = nameAt(place), version = '' } = lock.packages[place] ?? {};
    return purl(name, version);
  };
  const components = [
    ...places.map((place) => component({ name: nameAt(place), ...lock.packages[place] })),
    ...extras.map(component),
  ];
  const application = purl(lock.name, lock.version);
  const content = {
    metadata: { component: { 'bom-ref': application, type: 'application', name: lock.name, version: lock.version } },
    components: byRef(components),
    dependencies: ['', ...places].map((place) => ({
      ref: place === '' ? application : refOf(place),
      dependsOn: [...new Set((needs.get(place) ?? []).map(refOf))].sort(),
    })),
  };
  const head = { bomFormat: 'CycloneDX', specVersion: '1.5', serialNumber: `urn:uuid:${uuidOf(content)}`, version: 1 };
  return `${JSON.stringify({ ...head, ...content }, null, 1)}\n`;
}

function component({ name = '', version = '', license, integrity }: LockedPackage) {
  const [algorithm = '', digest = ''] = integrity?.split('-') ?? [];
  return {
    ...{ 'bom-ref': purl(name, version), type: 'library', name, version, purl: purl(name, version) },
    ...(license !== undefined && { licenses: [{ expression: license.replace(/^\((.*)\)$/, '$1') }] }),
    ...(algorithm === 'sha512' && {
      hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }],
    }),
  };
}

/** A package may lie in several places in the same version. */
function byRef<T extends { readonly 'bom-ref': string }>(components: readonly T[]): readonly T[] {
  return [...new Map(components.map((each) => [each['bom-ref'], each])).values()];
}

/** Package URL of npm: the @ of a scope is written %40. */
const purl = (name: string, version: string): string => `pkg:npm/${name.replace('@', '%40')}@${version}`;

/** Of version 5 in form, by its first 16 bytes of SHA-256. */
function uuidOf(content: object): string {
  const bytes = createHash('sha256').update(JSON.stringify(content)).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
