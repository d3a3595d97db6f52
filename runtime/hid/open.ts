/** @file Opens the meter, or the keys, that are plugged in. */
import { DataError, UsageError } from '../errors.ts';
import { type MeterModel, meterModels } from './fnirsi/meters.ts';
import { PowerMeter, type PowerMeterOptions } from './fnirsi/power-meter.ts';
import { type KeyDevice, keyboardDevice, keyDevices } from './keys/key-devices.ts';
import { type MappingOptions, parseKeyMapping } from './keys/key-mapping.ts';
import { LabelKeys, type LabelKeysOptions } from './keys/label-keys.ts';
import { type DeviceId, type FoundDevice, findDevices, type HidLibrary, loadNodeHid, openWith } from './node-hid.ts';

export interface DeviceChoice {
  /** Path (/dev/hidraw0), ids (2e3c:5558) or serial number; may be left out if only one is plugged in. */
  readonly device?: string;
}

export interface OpenMeterOptions extends DeviceChoice, Pick<PowerMeterOptions, 'refreshMillis' | 'onSample'> {
  /** Name of the model it is to be treated as, such as FNB58 for an FNAC-28; default: by its ids. */
  readonly model?: string;
}

/**
 * @throws UsageError if there is no such model
 * @throws DataError if node-hid cannot be loaded, no meter or more than one was found, or it cannot be opened
 */
export async function openPowerMeter(
  { device, model, ...options }: OpenMeterOptions,
  library?: HidLibrary,
): Promise<PowerMeter> {
  const treatedAs = model === undefined ? null : modelNamed(model);
  const hid = library ?? (await loadNodeHid());
  const chosen = await chooseDevice(hid, meterModels, device, 'power meter');
  return PowerMeter.open({ ...options, model: treatedAs ?? chosen.id, open: openAgain(hid, chosen) });
}

export interface OpenKeysOptions
  extends DeviceChoice,
    Omit<MappingOptions, 'keys'>,
    Omit<LabelKeysOptions, 'open' | 'read' | 'mapping' | 'clock'> {
  /** Such as `1=cat,2=dog,3=undo`. */
  readonly mapping: string;
}

/**
 * A device given by ids that are not known is read as a keyboard.
 * @throws UsageError if the mapping has faults
 * @throws DataError if node-hid cannot be loaded, no device or more than one was found, or it cannot be opened
 */
export async function openLabelKeys(
  { device, mapping, classCount, classes, skip = false, ...options }: OpenKeysOptions,
  library?: HidLibrary,
): Promise<LabelKeys> {
  const hid = library ?? (await loadNodeHid());
  const chosen = await chooseDevice(hid, withKeyboard(device), device, 'device with keys');
  const { read, keys } = chosen.id;
  const parsed = parseKeyMapping(mapping, { classCount, classes, keys, skip });
  return LabelKeys.open({ ...options, read, mapping: parsed, open: openAgain(hid, chosen) });
}

function modelNamed(name: string): MeterModel {
  const model = meterModels.find((candidate) => candidate.name === name.toUpperCase());
  if (model) return model;
  const known = meterModels.map((candidate) => candidate.name).join(', ');
  throw new UsageError(`power meter: expected the model to be one of ${known} but got "${name}"`, { model: name });
}

function withKeyboard(device: string | undefined): readonly KeyDevice[] {
  const [, vendorId, productId] = /^([0-9a-f]{4}):([0-9a-f]{4})$/i.exec(device ?? '') ?? [];
  if (vendorId === undefined || productId === undefined) return keyDevices;
  return [...keyDevices, keyboardDevice(Number.parseInt(vendorId, 16), Number.parseInt(productId, 16))];
}

async function chooseDevice<Id extends DeviceId>(
  hid: HidLibrary,
  ids: readonly Id[],
  wanted: string | undefined,
  what: string,
): Promise<FoundDevice<Id>> {
  const all = await findDevices(hid, ids);
  const found = all.filter((device) => wanted === undefined || isWanted(device, wanted.toLowerCase()));
  const [first] = found;
  if (first && found.length === 1) return first;
  const list = (first ? found : all).map((device) => `\n  ${deviceText(device)}`).join('');
  if (first) {
    throw new DataError(`${what}: expected one but found ${found.length}:${list}\nHint: choose one by its path.`, {
      found,
    });
  }
  const known = [...new Set(ids.map((id) => `${id.name} (${idsText(id)})`))].join(', ');
  throw new DataError(
    `${what}: none${wanted === undefined ? '' : ` that is "${wanted}"`} was found${list && `, but:${list}`}\n` +
      `Hint: known are ${known}. \`lsusb\` shows what is plugged in; meters have a port of their own for a computer.`,
    { wanted, found: all },
  );
}

function isWanted({ id, path, serialNumber }: FoundDevice, wanted: string): boolean {
  return [path, idsText(id), serialNumber.toLowerCase()].includes(wanted);
}

/** The same device at whatever path it has when it was plugged in again. */
function openAgain(hid: HidLibrary, chosen: FoundDevice): ReturnType<typeof openWith> {
  return openWith(hid, async () => {
    const same = (await findDevices(hid, [chosen.id])).filter((device) => device.serialNumber === chosen.serialNumber);
    const [found] = same.length > 1 ? same.filter(({ path }) => path === chosen.path) : same;
    if (!found) throw new DataError(`${deviceText(chosen)}: is not plugged in`, { device: chosen.path });
    return found;
  });
}

function deviceText({ id, path, serialNumber }: FoundDevice): string {
  return `${id.name} (${idsText(id)}) ${path}${serialNumber && `, serial number ${serialNumber}`}`;
}

function idsText({ vendorId, productId }: DeviceId): string {
  return [vendorId, productId].map((number) => number.toString(16).padStart(4, '0')).join(':');
}
