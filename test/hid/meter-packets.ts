/** @file Packets of FNIRSI meters, made from the published layout and not from the code under test. */

/** In the units of the packet: volts and amps x 1e5, millivolts, degrees x 10. */
export interface RawSample {
  readonly volts: number;
  readonly amps: number;
  readonly dPlus: number;
  readonly dMinus: number;
  readonly unknown: number;
  readonly celsius: number;
}

export const fiveVolts: RawSample = { volts: 512345, amps: 123456, dPlus: 2718, dMinus: 601, unknown: 1, celsius: 253 };

/** CRC-8, bit by bit as a shift register does it: polynomial 0x39, initial value 0x42, nothing reflected. */
export function crc8(bytes: Iterable<number>): number {
  let register = 0x42;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit -= 1) {
      const out = (register >> 7) ^ ((byte >> bit) & 1);
      register = ((register << 1) & 0xff) ^ (out * 0x39);
    }
  }
  return register;
}

export function measurements(samples: readonly RawSample[], byte62 = 0x5a): Uint8Array {
  const packet = Buffer.alloc(64);
  packet.writeUInt8(0xaa, 0);
  packet.writeUInt8(0x04, 1);
  for (const [n, sample] of samples.entries()) {
    const at = 2 + 15 * n;
    packet.writeUInt32LE(sample.volts, at);
    packet.writeUInt32LE(sample.amps, at + 4);
    packet.writeUInt16LE(sample.dPlus, at + 8);
    packet.writeUInt16LE(sample.dMinus, at + 10);
    packet.writeUInt8(sample.unknown, at + 12);
    packet.writeUInt16LE(sample.celsius, at + 13);
  }
  packet.writeUInt8(byte62, 62);
  packet.writeUInt8(crc8(packet.subarray(1, 63)), 63);
  return packet;
}

/** Four samples of the same voltage and current. */
export function steady(volts: number, amps: number): Uint8Array {
  const sample = { ...fiveVolts, volts: Math.round(volts * 1e5), amps: Math.round(amps * 1e5) };
  return measurements([sample, sample, sample, sample]);
}
