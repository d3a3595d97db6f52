/**
 * @file The packets of FNIRSI's USB power meters, 64 bytes each way.
 *
 * Source: what github.com/baryluk/fnirsi-usb-power-data-logger (MIT, 746e4d3) found out about them. A packet begins
 * with aa and the byte that tells its kind, and ends with a CRC-8 (polynomial 0x39, initial value 0x42, no reflection)
 * of bytes 1 to 62. One with measurements holds four samples of 15 bytes from byte 2 on, little-endian: u32 volts x
 * 1e5, u32 amperes x 1e5, u16 millivolts of D+, u16 of D-, a byte nobody could explain, u16 degrees x 10. Byte 62 is
 * not understood either.
 */

export const PACKET_BYTES = 64;
/** Between two samples. */
export const SAMPLE_MILLIS = 10;
export const SAMPLES_PER_PACKET = 4;

/** Kinds of packets to the meter. The first two begin the measuring, the third makes the meter go on. */
export const commands = { identify: 0x81, start: 0x82, keepAlive: 0x83 } as const;

export type Command = (typeof commands)[keyof typeof commands];

const MARKER = 0xaa;
const MEASUREMENTS = 0x04;
const FIRST_SAMPLE = 2;
const SAMPLE_BYTES = 15;
const CHECKSUM_AT = PACKET_BYTES - 1;

/**
 * Beyond these a sample is garbage, such as the 188.7 V, 170.4 A and 51.8 V on D+ that an FNB48 begins with when it is
 * read a second time. USB Power Delivery 3.1 ends at 48 V and 5 A; data lines carry 3.6 V, and up to 20 V under
 * proprietary fast charging.
 */
const MOST_VOLTS = 60;
const MOST_AMPS = 12;
const MOST_DATA_VOLTS = 25;

export interface MeterSample {
  readonly volts: number;
  readonly amps: number;
  readonly dPlusVolts: number;
  readonly dMinusVolts: number;
  readonly celsius: number;
}

/** Why a packet is left out; `kind`: it is well formed and holds something else than measurements. */
export type Refusal = 'length' | 'marker' | 'kind' | 'checksum';

export type Decoded =
  /** In the order of time; null where a sample is garbage. */
  { readonly samples: readonly (MeterSample | null)[]; readonly refusal: null } | Refused;

interface Refused {
  readonly samples: null;
  readonly refusal: Refusal;
}

const refused: Readonly<Record<Refusal, Refused>> = {
  length: { samples: null, refusal: 'length' },
  marker: { samples: null, refusal: 'marker' },
  kind: { samples: null, refusal: 'kind' },
  checksum: { samples: null, refusal: 'checksum' },
};

/** The packet that gives the meter a command. */
export function commandPacket(command: Command): Uint8Array {
  const packet = new Uint8Array(PACKET_BYTES);
  packet[0] = MARKER;
  packet[1] = command;
  packet[CHECKSUM_AT] = checksum(packet);
  return packet;
}

/**
 * Never throws, whatever the bytes. Kinds other than measurements are told apart first: nobody knows whether theirs is
 * the same CRC.
 */
export function decodePacket(packet: Uint8Array): Decoded {
  if (packet.length !== PACKET_BYTES) return refused.length;
  if (packet[0] !== MARKER) return refused.marker;
  if (packet[1] !== MEASUREMENTS) return refused.kind;
  if (packet[CHECKSUM_AT] !== checksum(packet)) return refused.checksum;
  const view = new DataView(packet.buffer, packet.byteOffset, PACKET_BYTES);
  const samples: (MeterSample | null)[] = [];
  for (let at = FIRST_SAMPLE; samples.length < SAMPLES_PER_PACKET; at += SAMPLE_BYTES)
    samples.push(readSample(view, at));
  return { samples, refusal: null };
}

function readSample(view: DataView, at: number): MeterSample | null {
  const volts = view.getUint32(at, true) / 1e5;
  const amps = view.getUint32(at + 4, true) / 1e5;
  const dPlusVolts = view.getUint16(at + 8, true) / 1e3;
  const dMinusVolts = view.getUint16(at + 10, true) / 1e3;
  if (volts > MOST_VOLTS || amps > MOST_AMPS || Math.max(dPlusVolts, dMinusVolts) > MOST_DATA_VOLTS) return null;
  return { volts, amps, dPlusVolts, dMinusVolts, celsius: view.getUint16(at + 13, true) / 10 };
}

/** CRC-8 of all but the marker and the checksum itself. */
function checksum(packet: Uint8Array): number {
  let crc = 0x42;
  for (let at = 1; at < CHECKSUM_AT; at += 1) crc = crcTable[crc ^ (packet[at] as number)] as number;
  return crc;
}

const crcTable = Uint8Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x80 ? (crc << 1) ^ 0x39 : crc << 1;
  return crc;
});
