import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { type DataPlaneNumbers, registerDataPlane } from "./data-plane-metrics.ts";
import { FAULTS } from "./faults.ts";
import type { Health } from "./health.ts";
import { boundedReason } from "./reducer.ts";
import { MAX_REASONS_OF_A_TYPE, type MachineStatus, machineStatus, type PoolState } from "./state.ts";
import type { Store } from "./store.ts";

export interface MetricsOptions {
  readonly store: Store;
  readonly version: string;
  /** Absent while iSCSI does not run. */
  readonly dataPlane?: () => DataPlaneNumbers | undefined;
}

/** prom-client's own: gauges by the names of counters, and no more than the sums of others. */
const MISNAMED_METRICS = ["nodejs_active_resources_total", "nodejs_active_handles_total", "nodejs_active_requests_total"];

const STATUSES: readonly MachineStatus[] = ["off", "booting", "up", "lost"];
const TRANSFER_SECONDS = [0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300];
const BOOT_SECONDS = [10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200];

const HEALTH_GAUGES: readonly (readonly [name: string, help: string, read: (health: Health) => number | undefined])[] = [
  ["temperature_celsius", "Of the processor.", ({ temperatureC }) => temperatureC],
  ["memory_available_bytes", "Memory that programs can still have.", ({ memory }) => memory?.availableBytes],
  [
    "under_voltage",
    "1 while the supply voltage is too low.",
    ({ power }) => (power === undefined ? undefined : Number(power.underVoltage)),
  ],
  ["throttled", "1 while the processor is slowed down.", ({ power }) => (power === undefined ? undefined : Number(power.throttled))],
  ["disk_temperature_celsius", "Of the data disk.", ({ disk }) => disk?.smart?.temperatureC],
  [
    "disk_wear_ratio",
    "Of the data disk's life, what is used; 1 is what its maker promised.",
    ({ disk }) => ratio(disk?.smart?.wearPercent),
  ],
  ["disk_bad_sectors", "Sectors of the data disk that were lost or wait to be.", ({ disk }) => disk?.smart?.badSectors],
];

function ratio(percent: number | undefined): number | undefined {
  return percent === undefined ? undefined : percent / 100;
}

const POOL_GAUGES: readonly (readonly [name: string, help: string, read: (pool: PoolState) => number])[] = [
  ["pool_size_bytes", "The file system that the disks are stored on.", (pool) => pool.sizeBytes],
  ["pool_used_bytes", "Of it, what is taken.", (pool) => pool.sizeBytes - pool.freeBytes],
  ["pool_free_bytes", "Of it, what is free.", (pool) => pool.freeBytes],
  [
    "pool_alarm_ratio",
    "How full it was, from 0 to 1, when a warning was raised; 0 while none stands.",
    (pool) => (pool.alarm?.percent ?? 0) / 100,
  ],
];

/** Prometheus text with the prefix `rackboot_`, in base units. Events make counters; the rest is read when it is asked for. */
export class Metrics {
  readonly #registry = new Registry();

  constructor(options: MetricsOptions) {
    const { store } = options;
    collectDefaultMetrics({ register: this.#registry, prefix: "rackboot_" });
    for (const name of MISNAMED_METRICS) this.#registry.removeSingleMetric(`rackboot_${name}`);
    this.#gauge("build_info", "1, with the version that runs.", ["version"]).set({ version: options.version }, 1);
    this.#countEvents(store);
    this.#readState(store);
    if (options.dataPlane !== undefined) registerDataPlane(this.#registry, options.dataPlane);
  }

  /** For the header of the answer to a scrape. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #gauge<L extends string = never>(name: string, help: string, labelNames: L[] = [], collect?: (gauge: Gauge<L>) => void): Gauge<L> {
    const gauge: Gauge<L> = new Gauge<L>({
      name: `rackboot_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      ...(collect !== undefined && { collect: () => collect(gauge) }),
    });
    return gauge;
  }

  #counter<L extends string = never>(
    name: string,
    help: string,
    labelNames: L[] = [],
    collect?: (counter: Counter<L>) => void,
  ): Counter<L> {
    const counter: Counter<L> = new Counter<L>({
      name: `rackboot_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      ...(collect !== undefined && { collect: () => collect(counter) }),
    });
    return counter;
  }

  #countEvents(store: Store): void {
    const register = this.#registry;
    const events = this.#counter("events_total", "Things that happened, by type and by reason where there is one.", ["type", "reason"]);
    const reasons = new Map<string, Set<string>>();
    const sent = this.#counter("transfer_sent_bytes_total", "Octets of boot files sent.", ["transport", "role"]);
    const transferSeconds = new Histogram({
      name: "rackboot_transfer_duration_seconds",
      help: "How long boot files took.",
      labelNames: ["transport", "role"],
      buckets: TRANSFER_SECONDS,
      registers: [register],
    });
    const bootSeconds = new Histogram({
      name: "rackboot_boot_duration_seconds",
      help: "From the firmware's first question to a machine that is up.",
      buckets: BOOT_SECONDS,
      registers: [register],
    });
    store.subscribe((event, state) => {
      if (event.type === "transfer.progressed") return;
      events.inc({ type: event.type, reason: "reason" in event ? knownReason(reasons, event.type, event.reason) : "" });
      if (event.type === "transfer.finished") {
        const labels = { transport: event.transport, role: event.role };
        sent.inc(labels, event.sentBytes);
        transferSeconds.observe(labels, event.elapsedMs / 1000);
      }
      if (event.type === "boot.reached" && event.stage === "up") {
        const boot = state.machines[event.machine]?.boots.find((record) => record.number === event.boot);
        if (boot !== undefined) bootSeconds.observe((event.atMs - boot.beganAtMs) / 1000);
      }
    });
  }

  #readState(store: Store): void {
    this.#gauge("machines", "Machines of the configuration by status.", ["status"], (gauge) => {
      const state = store.snapshot();
      const statuses = Object.keys(state.machines).map((name) => machineStatus(state, name));
      for (const status of STATUSES) gauge.set({ status }, statuses.filter((other) => other === status).length);
    });
    this.#gauge("machine_up", "1 for a machine that is up.", ["machine"], (gauge) => {
      const state = store.snapshot();
      gauge.reset();
      for (const machine of Object.keys(state.machines)) gauge.set({ machine }, machineStatus(state, machine) === "up" ? 1 : 0);
    });
    this.#gauge("service_up", "1 for a service that runs, 0 for one that failed.", ["service"], (gauge) => {
      gauge.reset();
      for (const [service, { status }] of Object.entries(store.snapshot().services)) gauge.set({ service }, status === "up" ? 1 : 0);
    });
    this.#gauge("volume_alarm", "1 for a volume that failed or has no space.", ["volume", "kind"], (gauge) => {
      gauge.reset();
      for (const [volume, { alarm }] of Object.entries(store.snapshot().volumes))
        if (alarm !== undefined) gauge.set({ volume, kind: alarm.kind }, 1);
    });
    for (const [name, help, value] of POOL_GAUGES) {
      this.#gauge(name, help, [], (gauge) => {
        const { pool } = store.snapshot();
        // Without a pool there is nothing to say: 0 octets would be a full one.
        if (pool === undefined) gauge.remove();
        else gauge.set(value(pool));
      });
    }
    this.#gauge("transfers", "Boot files on their way.", [], (gauge) => gauge.set(Object.keys(store.snapshot().transfers).length));
    this.#gauge("sessions", "iSCSI sessions that are logged in.", [], (gauge) => gauge.set(Object.keys(store.snapshot().sessions).length));
    this.#gauge("fault", "1 while a numbered fault stands.", ["fault", "number"], (gauge) => {
      const { faults } = store.snapshot();
      for (const { name, number } of FAULTS) gauge.set({ fault: name, number: String(number) }, faults[name] === undefined ? 0 : 1);
    });
    this.#gauge("alarm", "1 while an alarm stands.", ["alarm"], (gauge) => {
      gauge.reset();
      for (const alarm of Object.keys(store.snapshot().alarms)) gauge.set({ alarm }, 1);
    });
    for (const [name, help, read] of HEALTH_GAUGES) {
      this.#gauge(name, help, [], (gauge) => {
        const value = read(store.snapshot().health ?? {});
        // A board that does not tell has no sample, and not a 0 that somebody believes.
        if (value === undefined) gauge.remove();
        else gauge.set(value);
      });
    }
    this.#gauge("config_rejected", "1 while a configuration file is refused.", [], (gauge) => {
      gauge.set(store.snapshot().daemon.rejected === undefined ? 0 : 1);
    });
  }
}

/** Reasons are told to peers' liking: each new one costs a time series, so there are only so many. */
function knownReason(reasons: Map<string, Set<string>>, type: string, text: string): string {
  const known = reasons.get(type) ?? new Set();
  reasons.set(type, known);
  const reason = boundedReason(text);
  if (!known.has(reason) && known.size >= MAX_REASONS_OF_A_TYPE) return "other";
  known.add(reason);
  return reason;
}
