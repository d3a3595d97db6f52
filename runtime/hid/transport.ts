/** @file What the protocols need of an HID device: reports out, reports in, and word of its end. */

/** An open device. */
export interface Transport {
  /**
   * Sends an output report of a device that does not number its reports.
   * @throws Error if the device is gone or refuses
   */
  write(report: Uint8Array): Promise<void>;
  /** Lets the device go; the listener hears nothing of it. May be called again. */
  close(): Promise<void>;
}

export interface TransportListener {
  /** An input report as Linux gives it: its number comes first where the device numbers its reports. */
  onReport(report: Uint8Array): void;
  /** The device was lost; nothing comes after it. */
  onError(error: Error): void;
}

/**
 * Finds and opens the device, as often as it is called: one that was plugged in again may have another path.
 * @throws DataError if it is not there or cannot be opened
 */
export type OpenTransport = (listener: TransportListener) => Promise<Transport>;
