import type { Faults } from "../../src/state/faults.ts";
import type { Health, SmartHealth } from "../../src/state/health.ts";
import type { Store } from "../../src/state/store.ts";
import { type Alarms, judge } from "./alarms.ts";
import { readDisk, readMemory, readPower, readTemperature, readTrouble, readVlan, SYSFS } from "./sensors.ts";
import { readSmart } from "./smart.ts";

/** firmware/rootfs-overlay/usr/libexec/rackboot/data-disk writes it. */
const TROUBLE = "/run/rackboot/data-disk-trouble";
const LOOK_EVERY_MS = 10_000;
/** SMART needs a program, and some bridges pause for it. */
const SMART_EVERY_MS = 30 * 60_000;
/** Nobody waits for it while machines boot after a power cut. */
const FIRST_SMART_MS = 2 * 60_000;

const MEMORY_STEP_BYTES = 64 * 1024 * 1024;

export interface HealthWatcherOptions {
  readonly store: Store;
  readonly faults: Faults;
  /** `storage.path`: the disk under it is the data disk. */
  readonly storage: string;
  readonly sysfs?: string;
  readonly smartctl?: string;
  /** Where init says what is wrong with the data disk. */
  readonly trouble?: string;
  /** A clock that never goes back, in milliseconds. */
  readonly nowMs?: () => number;
}

/** Looks at the board now and then, tells what it finds, and raises and eases alarms. Nothing that it reads blocks the event loop. */
export class HealthWatcher {
  readonly #options: Required<HealthWatcherOptions>;
  #alarms: Alarms = new Map();
  #smart: SmartHealth | undefined;
  #smartAtMs: number;
  #smartAsked: Promise<void> | undefined;
  #toldUnknown = false;
  #told = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(options: HealthWatcherOptions) {
    this.#options = { sysfs: SYSFS, smartctl: "smartctl", trouble: TROUBLE, nowMs: () => performance.now(), ...options };
    this.#smartAtMs = this.#options.nowMs() + FIRST_SMART_MS - SMART_EVERY_MS;
  }

  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
    void this.look();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Looks once. Never rejects. */
  async look(): Promise<void> {
    const { store, faults, sysfs, storage, trouble, nowMs } = this.#options;
    try {
      const found = await readTrouble(trouble);
      if (found === undefined) faults.clear("data-disk-failing", "mount");
      else faults.raise("data-disk-failing", "mount", found);
      const [temperatureC, power, memory, disk] = await Promise.all([
        readTemperature(sysfs),
        readPower(sysfs),
        readMemory(),
        readDisk(storage, sysfs),
      ]);
      if (disk?.device.startsWith("sd") === true || disk?.device.startsWith("nvme") === true) this.#askSmart(disk.device);
      const health: Health = {
        ...(temperatureC !== undefined && { temperatureC }),
        ...(power !== undefined && { power }),
        ...(memory !== undefined && { memory }),
        ...(disk !== undefined && { disk: { ...disk, ...(this.#smart !== undefined && { smart: this.#smart }) } }),
      };
      this.#tell(health);
      const { link } = store.snapshot();
      const vlan = link?.up === true ? await readVlan(link.interface, sysfs) : undefined;
      const findings = { health, ...(link !== undefined && { link }), ...(vlan !== undefined && { vlan }) };
      this.#raise(judge(findings, this.#alarms, nowMs()));
    } catch (cause) {
      this.#unknown((cause as Error).message);
    }
  }

  /** For tests: that the disk was asked, if it was. */
  get smartAsked(): Promise<void> {
    return this.#smartAsked ?? Promise.resolve();
  }

  #askSmart(device: string): void {
    const { nowMs, smartctl } = this.#options;
    if (nowMs() - this.#smartAtMs < SMART_EVERY_MS) return;
    this.#smartAtMs = nowMs();
    this.#smartAsked = readSmart(device, smartctl).then((reading) => {
      if (reading?.ok === true) this.#smart = reading.smart;
      else if (reading !== undefined) this.#unknown(`SMART of ${device}: ${reading.reason}`);
      const failing = this.#smart?.passed === false;
      const { faults } = this.#options;
      if (failing) faults.raise("data-disk-failing", "smart", { reason: `${device} says of itself that it fails (SMART)` });
      else faults.clear("data-disk-failing", "smart");
    });
  }

  #unknown(reason: string): void {
    if (this.#toldUnknown) return;
    this.#toldUnknown = true;
    this.#options.store.emit({ type: "health.unknown", reason });
  }

  /** What flutters is told in steps: each telling goes to every follower of events. */
  #tell(health: Health): void {
    const { temperatureC, memory, ...rest } = health;
    const coarse = [
      temperatureC === undefined ? "" : Math.round(temperatureC / 2),
      memory === undefined ? "" : Math.round(memory.availableBytes / MEMORY_STEP_BYTES),
      rest,
    ];
    const key = JSON.stringify(coarse);
    if (key === this.#told) return;
    this.#told = key;
    this.#options.store.emit({ type: "health.measured", ...health });
  }

  #raise(alarms: Alarms): void {
    const { store } = this.#options;
    for (const [alarm, { reason, next }] of alarms) {
      // The reason's figures change while it stands; the alarm is told once.
      if (!this.#alarms.has(alarm)) store.emit({ type: "alarm.raised", alarm, reason, next });
    }
    for (const alarm of this.#alarms.keys()) if (!alarms.has(alarm)) store.emit({ type: "alarm.eased", alarm });
    this.#alarms = alarms;
  }
}
