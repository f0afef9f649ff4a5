import { type Boot, type BootSignal, type BootStage, Boots } from "../machine/boots.ts";
import type { MachineName } from "../machine/identifiers.ts";
import type { FileRole, TimedEvent } from "./events.ts";
import type { BootRecord } from "./state.ts";
import type { Store } from "./store.ts";

/** Boot files that are stages of a boot. */
const STAGE_OF_ROLE: Readonly<Partial<Record<FileRole, "loader" | "config" | "kernel" | "initramfs">>> = {
  loader: "loader",
  config: "config",
  kernel: "kernel",
  initramfs: "initramfs",
};

/** What an event means to its machine's boot; undefined: nothing. */
export function bootSignalOf(event: TimedEvent): BootSignal | undefined {
  switch (event.type) {
    case "dhcp.discovered":
      return event.firmware === undefined ? undefined : { kind: "firmware", firmware: event.firmware };
    case "dhcp.offered":
      return event.firmware === undefined ? undefined : { kind: "reached", stage: "offer" };
    case "transfer.started":
      return event.role === "loader" || event.role === "config" ? { kind: "asked", role: event.role } : undefined;
    case "transfer.finished": {
      const stage = STAGE_OF_ROLE[event.role];
      return stage === undefined ? undefined : { kind: "reached", stage };
    }
    case "iscsi.login":
      return { kind: "login", session: event.connection, reinstated: event.reinstated };
    case "iscsi.firstRead":
      return { kind: "first-read", session: event.connection };
    case "iscsi.closed":
      return { kind: "closed", session: event.connection };
    default:
      return undefined;
  }
}

export interface FollowBootsOptions {
  /** `dhcp.mode` is not `server`. */
  readonly loaderBegins: boolean;
  /** The last boot that the data disk knows; 0 if it knows none. */
  readonly lastNumber: number;
  /** The machine boots for certain: fences what its previous boot left. */
  readonly onConfirmed: (machine: MachineName, boot: number) => void;
}

/** Makes boots of what the store hears, and tells it of them. Boots that it remembers go on. */
export function followBoots(store: Store, options: FollowBootsOptions): Boots {
  const { emit } = store;
  const boots = new Boots({
    loaderBegins: options.loaderBegins,
    firstNumber: options.lastNumber + 1,
    onBegan: (machine, boot, firmware) => emit({ type: "boot.began", machine, boot, ...(firmware !== undefined && { firmware }) }),
    onConfirmed: options.onConfirmed,
    onReached: (machine, boot, stage) => emit({ type: "boot.reached", machine, boot, stage }),
    onAbandoned: (machine, boot, stage, reason) => emit({ type: "boot.abandoned", machine, boot, stage, reason }),
    after: (ms, done) => {
      const timer = setTimeout(done, ms);
      timer.unref();
      return () => clearTimeout(timer);
    },
    nowMs: () => performance.now(),
  });
  for (const [name, machine] of Object.entries(store.snapshot().machines)) {
    const last = machine.boots.at(-1);
    if (last !== undefined && last.outcome !== "abandoned") boots.resume(name as MachineName, remembered(last));
  }
  store.subscribe((event) => {
    if (event.type === "config.loaded") boots.keepOnly(new Set(event.machines));
    const signal = bootSignalOf(event);
    if (signal !== undefined && "machine" in event && event.machine !== undefined) boots.signal(event.machine, signal);
  });
  return boots;
}

function remembered(record: BootRecord): Boot {
  const reached = new Set(Object.keys(record.stages) as BootStage[]);
  const confirmed = [...reached].some((stage) => stage !== "discover" && stage !== "offer");
  return { number: record.number, ...(record.firmware !== undefined && { firmware: record.firmware }), reached, confirmed };
}
