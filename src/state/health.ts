/** What is measured of the board itself. What cannot be measured on it is absent. */
export interface Health {
  readonly temperatureC?: number;
  readonly memory?: { readonly totalBytes: number; readonly availableBytes: number };
  readonly power?: PowerHealth;
  readonly disk?: DiskHealth;
}

export interface PowerHealth {
  readonly underVoltage: boolean;
  /** The processor is slowed down, by heat or by too little voltage. */
  readonly throttled: boolean;
}

/** Of the disk under the data. */
export interface DiskHealth {
  readonly device: string;
  /** As the kernel names the USB bridge: `152d:0578`. */
  readonly usbId?: string;
  /** `uas` or `usb-storage`. */
  readonly driver?: string;
  /** Of the USB connection. */
  readonly speedMbps?: number;
  /** SMART, where the bridge lets it through. */
  readonly smart?: SmartHealth;
}

export interface SmartHealth {
  readonly model?: string;
  /** The disk's own verdict. */
  readonly passed?: boolean;
  /** 0 new, 100 at the end of what its maker promised; may be more. */
  readonly wearPercent?: number;
  readonly temperatureC?: number;
  /** Sectors that were lost or wait to be. */
  readonly badSectors?: number;
  readonly powerOnHours?: number;
}

export type AlarmName =
  | "hot"
  | "under-voltage"
  | "throttled"
  | "memory-low"
  | "slow-link"
  | "silent-vlan"
  | "slow-usb"
  | "uas-quirk"
  | "disk-hot"
  | "disk-worn"
  | "disk-errors";

export interface AlarmState {
  readonly reason: string;
  readonly next: string;
  readonly sinceMs: number;
}
