/**
 * @file Power rails of Jetson boards: Texas Instruments' INA3221, three channels each. L4T 35 and later show it as hwmon (Linux
 * kernel documentation, hwmon/ina3221), L4T 32 as an iio device of the driver ina3221x.
 */
import { join } from 'node:path';
import { PolledFile } from '../../../device-profiles/probes/polled-file.ts';
import type { Found } from '../../../device-profiles/probes/probe.ts';
import { EnergySum, type PowerReading, type PowerSource } from './power-source.ts';
import { entries, readLine } from './sysfs.ts';

/** One rail; its files stay open. */
interface Rail {
  readonly label: string;
  watts(): number | null;
  close(): void;
}

/** Rails that carry the whole board: Orin and Xavier NX, Nano and TX2. */
const TOTAL_RAILS = ['VDD_IN', 'POM_5V_IN'];

class Ina3221 implements PowerSource {
  readonly name: string;
  readonly #rails: readonly Rail[];
  readonly #energy = new EnergySum();

  constructor(rails: readonly Rail[]) {
    this.#rails = rails;
    this.name = `INA3221 ${rails.map(({ label }) => label).join(' + ')}`;
  }

  async read(): Promise<PowerReading | null> {
    const watts = this.#rails.map((rail) => rail.watts());
    const sum = watts.reduce<number | null>((all, rail) => (all === null || rail === null ? null : all + rail), 0);
    return sum === null ? null : this.#energy.add(sum, performance.now());
  }

  close(): void {
    for (const rail of this.#rails) rail.close();
  }
}

/** The rail of the whole board where there is one, else the sum of all. */
export function openIna3221(root: string): Found<PowerSource> {
  const rails = [...hwmonRails(root), ...iioRails(root)];
  if (rails.length === 0) return { missing: 'no INA3221 power monitor' };
  const total = rails.find(({ label }) => TOTAL_RAILS.includes(label));
  for (const rail of rails) if (total !== undefined && rail !== total) rail.close();
  return { probe: new Ina3221(total === undefined ? rails : [total]) };
}

/** `in<n>_input` in mV, `curr<n>_input` in mA. Channels without a label are not connected; the fourth is a sum of voltages. */
function hwmonRails(root: string): Rail[] {
  const chips = entries(join(root, 'sys/class/hwmon'), /^hwmon\d+$/);
  return chips
    .filter((chip) => readLine(join(chip, 'name')) === 'ina3221')
    .flatMap((chip) =>
      [1, 2, 3].flatMap((n) => {
        const files = open([`in${n}_input`, `curr${n}_input`].map((name) => join(chip, name)));
        const watts = ([millivolts, milliamperes]: readonly number[]) => (millivolts ?? 0) * (milliamperes ?? 0) * 1e-6;
        return rail(readLine(join(chip, `in${n}_label`)), files, watts);
      }),
    );
}

/** `in_power<n>_input` in mW, the names in `rail_name_<n>`. */
function iioRails(root: string): Rail[] {
  return entries(join(root, 'sys/bus/i2c/drivers/ina3221x'), /^\d+-[0-9a-f]{4}$/)
    .flatMap((chip) => entries(chip, /^iio:device\d+$/))
    .flatMap((device) =>
      [0, 1, 2].flatMap((n) => {
        const files = open([join(device, `in_power${n}_input`)]);
        return rail(readLine(join(device, `rail_name_${n}`)), files, ([milliwatts = 0]) => milliwatts * 1e-3);
      }),
    );
}

/** All of the files or none. */
function open(paths: readonly string[]): readonly PolledFile[] | null {
  const files = paths.map((path) => PolledFile.open(path));
  if (files.every((file) => file !== null)) return files;
  for (const file of files) file?.close();
  return null;
}

function rail(
  label: string | null,
  files: readonly PolledFile[] | null,
  watts: (values: readonly number[]) => number,
): Rail[] {
  const close = (): void => {
    for (const file of files ?? []) file.close();
  };
  if (label === null || label === 'NC' || files === null) {
    close();
    return [];
  }
  const read = (): number | null => {
    const values = files.map((file) => file.number());
    return values.every((value) => value !== null) ? watts(values) : null;
  };
  return [{ label, watts: read, close }];
}
