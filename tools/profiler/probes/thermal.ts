/** @file Temperatures of the thermal zones. Source: Linux kernel documentation, driver-api/thermal/sysfs-api. */
import { join } from 'node:path';
import { PolledFile } from '../../../device-profiles/probes/polled-file.ts';
import type { Found } from '../../../device-profiles/probes/probe.ts';
import { entries, readLine } from './sysfs.ts';

/** Zones that show a constant: 100 degrees on Jetson Nano, TX1 and TX2. */
const CONSTANT_ZONES = /^PMIC-Die$/;

/** Sensors that are switched off show values far outside. */
const plausible = (celsius: number): boolean => celsius > -40 && celsius < 150;

export class Thermal {
  readonly #zones: readonly PolledFile[];

  private constructor(zones: readonly PolledFile[]) {
    this.#zones = zones;
  }

  static open(root: string): Found<Thermal> {
    const zones = entries(join(root, 'sys/class/thermal'), /^thermal_zone\d+$/)
      .filter((folder) => !CONSTANT_ZONES.test(readLine(join(folder, 'type')) ?? ''))
      .flatMap((folder) => PolledFile.open(join(folder, 'temp')) ?? []);
    return zones.length > 0 ? { probe: new Thermal(zones) } : { missing: 'the kernel has no thermal zone' };
  }

  /** Degrees Celsius of the hottest zone. */
  read(): number | null {
    const degrees = this.#zones.flatMap((zone) => {
      const millidegrees = zone.number();
      return millidegrees !== null && plausible(millidegrees / 1000) ? [millidegrees / 1000] : [];
    });
    return degrees.length > 0 ? Math.max(...degrees) : null;
  }

  close(): void {
    for (const zone of this.#zones) zone.close();
  }
}
