import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** Commands by how long they took: not cumulated, with one bucket more than there are bounds. */
export interface LatencyNumbers {
  readonly buckets: readonly number[];
  readonly totalSeconds: number;
}

export interface IoNumbers {
  readonly readOps: number;
  readonly readBytes: number;
  readonly borrowedBytes: number;
  readonly writeOps: number;
  readonly writeBytes: number;
  readonly flushOps: number;
  readonly errors: number;
  readonly queueDepth: number;
  readonly readLatency?: LatencyNumbers;
  readonly writeLatency?: LatencyNumbers;
  readonly flushLatency?: LatencyNumbers;
}

export interface VolumeNumbers extends IoNumbers {
  readonly name: string;
  readonly sizeBytes: number;
  /** What its file takes, shared or not. */
  readonly usedBytes: number;
}

/** All that one machine's sessions did, on whatever disk. */
export interface MachineNumbers extends IoNumbers {
  readonly name: string;
}

/** The counters of the iSCSI data plane (native/data-plane.ts), with volumes and machines by name. */
export interface DataPlaneNumbers {
  readonly connections: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly commandsPassedUp: number;
  readonly protocolErrors: number;
  readonly bufferBytes: number;
  readonly payloadBytesCopied: number;
  readonly ring: { readonly entries: number; readonly completions: number; readonly spins: number; readonly sleeps: number };
  /** Where the buckets of latencies end, seconds. */
  readonly latencySeconds: readonly number[];
  readonly volumes: readonly VolumeNumbers[];
  readonly machines: readonly MachineNumbers[];
}

type Row<T> = readonly [name: string, help: string, read: (numbers: T) => number];

/** By machines: what they counted stays when a volume is closed. */
function zeroCopyBytes({ machines, payloadBytesCopied }: DataPlaneNumbers): number {
  const moved = machines.reduce((sum, { readBytes, writeBytes }) => sum + readBytes + writeBytes, 0);
  // What is copied is counted when it arrives, and as written when it is.
  return Math.max(0, moved - payloadBytesCopied);
}

const COUNTERS: readonly Row<DataPlaneNumbers>[] = [
  ["iscsi_received_bytes_total", "Octets received on iSCSI connections.", (numbers) => numbers.bytesReceived],
  ["iscsi_sent_bytes_total", "Octets sent on iSCSI connections.", (numbers) => numbers.bytesSent],
  ["iscsi_commands_passed_up_total", "SCSI commands answered off the hot path.", (numbers) => numbers.commandsPassedUp],
  ["iscsi_protocol_errors_total", "PDUs that broke the protocol.", (numbers) => numbers.protocolErrors],
  ["iscsi_payload_copied_bytes_total", "Payload octets that user space copied.", (numbers) => numbers.payloadBytesCopied],
  ["iscsi_payload_zero_copy_bytes_total", "Payload octets that went between socket and file without such a copy.", zeroCopyBytes],
  ["iscsi_ring_entries_total", "What the data threads asked of io_uring.", ({ ring }) => ring.entries],
  ["iscsi_ring_completions_total", "What io_uring answered.", ({ ring }) => ring.completions],
  ["iscsi_ring_spins_total", "Waits of data threads that a short spin ended.", ({ ring }) => ring.spins],
  ["iscsi_ring_sleeps_total", "Waits of data threads that slept.", ({ ring }) => ring.sleeps],
];

const GAUGES: readonly Row<DataPlaneNumbers>[] = [
  ["iscsi_connections", "Open iSCSI connections.", (numbers) => numbers.connections],
  ["iscsi_buffer_bytes", "Data buffers in use.", (numbers) => numbers.bufferBytes],
];

/** Of a volume, and of a machine with that word in its place. */
const IO_COUNTERS: readonly Row<IoNumbers>[] = [
  ["reads_total", "READ commands.", (numbers) => numbers.readOps],
  ["read_bytes_total", "Octets read.", (numbers) => numbers.readBytes],
  ["writes_total", "WRITE commands.", (numbers) => numbers.writeOps],
  ["written_bytes_total", "Octets written.", (numbers) => numbers.writeBytes],
  ["flushes_total", "Flushes to stable storage.", (numbers) => numbers.flushOps],
  ["errors_total", "Commands that the storage failed.", (numbers) => numbers.errors],
];
const VOLUME_COUNTERS: readonly Row<VolumeNumbers>[] = [
  ["borrowed_bytes_total", "Octets read through the pages of an origin.", (numbers) => numbers.borrowedBytes],
];
const VOLUME_GAUGES: readonly Row<VolumeNumbers>[] = [
  ["size_bytes", "What initiators are told.", (numbers) => numbers.sizeBytes],
  ["used_bytes", "What its file takes of the pool, shared or not.", (numbers) => numbers.usedBytes],
];

type Subject = "volume" | "machine";
const LATENCIES: readonly (readonly [operation: string, read: (numbers: IoNumbers) => LatencyNumbers | undefined])[] = [
  ["read", (numbers) => numbers.readLatency],
  ["write", (numbers) => numbers.writeLatency],
  ["flush", (numbers) => numbers.flushLatency],
];

/** Everything of the data plane; what reads it is asked once a scrape. */
export function registerDataPlane(register: Registry, read: () => DataPlaneNumbers | undefined): void {
  const registers = [register];
  let known: DataPlaneNumbers | undefined;
  // All metrics are collected in one go, so that what was read lasts until that is over.
  const numbers = (): DataPlaneNumbers | undefined => {
    if (known !== undefined) return known;
    known = read();
    queueMicrotask(() => {
      known = undefined;
    });
    return known;
  };

  for (const [name, help, value] of COUNTERS) {
    const counter: Counter = new Counter({ name: `rackboot_${name}`, help, registers, collect: () => collect() });
    const collect = (): void => {
      const now = numbers();
      counter.reset();
      if (now !== undefined) counter.inc(value(now));
    };
  }
  for (const [name, help, value] of GAUGES) {
    const gauge: Gauge = new Gauge({ name: `rackboot_${name}`, help, registers, collect: () => collect() });
    const collect = (): void => {
      const now = numbers();
      gauge.set(now === undefined ? 0 : value(now));
    };
  }

  function countEach<T extends { readonly name: string }>(subject: Subject, rows: readonly Row<T>[], of: () => readonly T[]): void {
    for (const [name, help, value] of rows) {
      const counter: Counter = new Counter({
        name: `rackboot_${subject}_${name}`,
        help,
        labelNames: [subject],
        registers,
        collect: () => collect(),
      });
      const collect = (): void => {
        counter.reset();
        for (const one of of()) counter.inc({ [subject]: one.name }, value(one));
      };
    }
  }
  function gaugeEach<T extends { readonly name: string }>(subject: Subject, rows: readonly Row<T>[], of: () => readonly T[]): void {
    for (const [name, help, value] of rows) {
      const gauge: Gauge = new Gauge({
        name: `rackboot_${subject}_${name}`,
        help,
        labelNames: [subject],
        registers,
        collect: () => collect(),
      });
      const collect = (): void => {
        gauge.reset();
        for (const one of of()) gauge.set({ [subject]: one.name }, value(one));
      };
    }
  }

  const volumes = (): readonly VolumeNumbers[] => numbers()?.volumes ?? [];
  const machines = (): readonly MachineNumbers[] => numbers()?.machines ?? [];
  countEach("volume", [...IO_COUNTERS, ...VOLUME_COUNTERS], volumes);
  countEach("machine", IO_COUNTERS, machines);
  const depth: Row<IoNumbers> = ["queue_depth", "Commands that have begun and are not answered.", (now) => now.queueDepth];
  gaugeEach("volume", [...VOLUME_GAUGES, depth], volumes);
  gaugeEach("machine", [depth], machines);
  registerLatency(register, "volume", numbers, volumes);
  registerLatency(register, "machine", numbers, machines);
}

function registerLatency(
  register: Registry,
  subject: Subject,
  numbers: () => DataPlaneNumbers | undefined,
  of: () => readonly (IoNumbers & { readonly name: string })[],
): void {
  const series = (): readonly Series[] =>
    of().flatMap((one) =>
      LATENCIES.flatMap(([operation, latency]) => {
        const found = latency(one);
        return found === undefined
          ? []
          : [{ ...found, labels: { [subject]: one.name, operation }, bounds: numbers()?.latencySeconds ?? [] }];
      }),
    );
  const histogram = new SummedHistogram(`rackboot_${subject}_latency_seconds`, "From the arrival of a command to its answer.", series);
  register.registerMetric(histogram);
}

interface Series extends LatencyNumbers {
  readonly labels: Readonly<Record<string, string>>;
  readonly bounds: readonly number[];
}

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** prom-client's histogram observes one value at a time; this one is handed buckets that somebody else has filled. */
class SummedHistogram extends Histogram {
  readonly #heading: { readonly name: string; readonly help: string };
  readonly #series: () => readonly Series[];

  constructor(name: string, help: string, series: () => readonly Series[]) {
    super({ name, help, registers: [] });
    this.#heading = { name, help };
    this.#series = series;
  }

  /** What the registry asks for when it writes its text. */
  async getForPromString(): Promise<object> {
    const { name } = this.#heading;
    const values = this.#series().flatMap(({ labels, bounds, buckets, totalSeconds }): Sample[] => {
      let count = 0;
      const cumulated = buckets.map((here, index) => {
        count += here;
        return { metricName: `${name}_bucket`, labels: { le: bounds[index] ?? "+Inf", ...labels }, value: count };
      });
      return [
        ...cumulated,
        { metricName: `${name}_sum`, labels, value: totalSeconds },
        { metricName: `${name}_count`, labels, value: count },
      ];
    });
    return { ...this.#heading, type: "histogram", values };
  }
}
