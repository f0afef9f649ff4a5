import type { FirmwareKind } from "./firmware.ts";
import type { MachineName } from "./identifiers.ts";

/**
 * The boot object: one machine's way from its firmware's first question to a running system.
 *
 *     (nothing) --firmware asks--> at "discover" --...--> "login" --> "first-read" --> "up"
 *
 * A boot begins when firmware asks, not when an initramfs or a running system asks again. PXE ROM and iPXE ask one after
 * the other: while a boot has not reached its disk, firmware continues it; afterwards it begins the next one.
 *
 * One packet proves nothing: whoever knows a MAC address can send a DISCOVER. So nothing is taken from a machine before
 * its firmware has also asked for its loader or its script (the boot is `confirmed` then), and while a session of the
 * machine lives, the first question is only kept in mind as a knock, and the boot begins with the second.
 */

/** In the order in which a healthy machine passes them; some machines skip some. */
export const BOOT_STAGES = ["discover", "offer", "loader", "config", "kernel", "initramfs", "login", "first-read", "up"] as const;
export type BootStage = (typeof BOOT_STAGES)[number];

/** What happens to a machine, as far as its boot goes. */
export type BootSignal =
  | { readonly kind: "firmware"; readonly firmware: FirmwareKind }
  /** The machine asks for its boot loader, the first sign of life where DHCP is somebody else's, or for its menu or script. */
  | { readonly kind: "asked"; readonly role: "loader" | "config" }
  | { readonly kind: "reached"; readonly stage: "offer" | "loader" | "config" | "kernel" | "initramfs" }
  | { readonly kind: "login"; readonly session: number; readonly reinstated: boolean }
  | { readonly kind: "first-read"; readonly session: number }
  | { readonly kind: "closed"; readonly session: number };

/** A boot, as a value. */
export interface Boot {
  /** Unique for the life of the data disk. */
  readonly number: number;
  readonly firmware?: FirmwareKind;
  readonly reached: ReadonlySet<BootStage>;
  /** More than one packet says that the machine boots: what its last boot left may be taken from it. */
  readonly confirmed: boolean;
}

/** What the machine's disk is to it now, whether or not a boot of ours led there. */
export interface Session {
  readonly number: number;
  readonly hasRead: boolean;
}

export interface BootState {
  readonly boot?: Boot;
  readonly session?: Session;
  /** Firmware asked while a session lived; it may have been anybody. */
  readonly knock?: { readonly atMs: number; readonly firmware?: FirmwareKind };
}

/** What a step found out, in order. `watch` asks for {@link lived} to be called when the session has lived for long. */
export type BootOutcome =
  | { readonly kind: "abandoned"; readonly boot: number; readonly stage: BootStage; readonly reason: string }
  | { readonly kind: "began"; readonly boot: number; readonly firmware?: FirmwareKind }
  | { readonly kind: "reached"; readonly boot: number; readonly stage: BootStage }
  /** Once a boot, unless its login came first. */
  | { readonly kind: "confirmed"; readonly boot: number }
  | { readonly kind: "watch"; readonly session: number };

export interface BootStep {
  readonly state: BootState;
  readonly outcomes: readonly BootOutcome[];
}

export interface BootRules {
  /** DHCP is off or a proxy, so that a request for the loader may be the first that is heard of a boot. */
  readonly loaderBegins: boolean;
  /** Called once for each boot that begins. */
  readonly nextNumber: () => number;
  readonly nowMs: number;
}

/** Firmware that asked for an address and not for its loader within this time did not boot. */
export const KNOCK_MS = 120_000;

/** The furthest stage of a boot. */
export function stageOf(reached: ReadonlySet<BootStage>): BootStage {
  return BOOT_STAGES.findLast((stage) => reached.has(stage)) ?? "discover";
}

/**
 * Past this point firmware has done its part: when it asks again, the machine was reset. What firmware loads before a kernel
 * may ask once more; a kernel that was loaded is started, and one that never finds its disk is a boot that failed.
 */
function hasLeftFirmware(boot: Boot): boolean {
  return boot.reached.has("kernel") || boot.reached.has("login");
}

export function step(state: BootState, signal: BootSignal, rules: BootRules): BootStep {
  switch (signal.kind) {
    case "firmware": {
      const { firmware } = signal;
      if (state.boot !== undefined && !hasLeftFirmware(state.boot)) {
        return reach({ ...state, boot: { ...state.boot, firmware } }, "discover");
      }
      if (state.session !== undefined) return { state: { ...state, knock: { atMs: rules.nowMs, firmware } }, outcomes: [] };
      return begin(state, rules, "discover", firmware);
    }
    case "asked":
      return asked(state, signal.role, rules);
    case "reached":
      // iPXE may log in before it fetches a kernel; a running system that reads boot files boots nothing.
      return isBooting(state) ? reach(state, signal.stage) : { state, outcomes: [] };
    case "login":
      return login(state, signal.session, signal.reinstated);
    case "first-read": {
      if (state.session?.number !== signal.session || state.session.hasRead) return { state, outcomes: [] };
      const next = reach({ ...state, session: { ...state.session, hasRead: true } }, "first-read");
      return isBooting(next.state) ? { ...next, outcomes: [...next.outcomes, { kind: "watch", session: signal.session }] } : next;
    }
    case "closed": {
      if (state.session?.number !== signal.session) return { state, outcomes: [] };
      const { session: _, ...rest } = state;
      return { state: rest, outcomes: [] };
    }
  }
}

/** The watched session has lived for long after its first read: no initramfs takes that long to switch root. */
export function lived(state: BootState, session: number): BootStep {
  const alive = state.session?.number === session && state.session.hasRead;
  return alive && isBooting(state) ? reach(state, "up") : { state, outcomes: [] };
}

function isBooting(state: BootState): boolean {
  return state.boot !== undefined && !state.boot.reached.has("up");
}

/** The second sign of a boot, or the first where there is nothing to lose or nothing else is heard of firmware. */
function asked(state: BootState, role: "loader" | "config", rules: BootRules): BootStep {
  const { boot, session, knock } = state;
  if (knock !== undefined && rules.nowMs - knock.atMs <= KNOCK_MS) {
    return confirm(begin(state, rules, knock.firmware === undefined ? undefined : "discover", knock.firmware));
  }
  if (boot !== undefined && !hasLeftFirmware(boot)) return confirm({ state, outcomes: [] });
  // With DHCP of our own, a running system that fetches its own loader must not be taken for a reset machine.
  const begins = role === "loader" && (boot === undefined && session === undefined ? true : rules.loaderBegins);
  if (!begins) return { state, outcomes: [] };
  if (session !== undefined) return { state: { ...state, knock: { atMs: rules.nowMs } }, outcomes: [] };
  return confirm(begin(state, rules));
}

function confirm({ state, outcomes }: BootStep): BootStep {
  const { boot } = state;
  if (boot === undefined || boot.confirmed) return { state, outcomes };
  return { state: { ...state, boot: { ...boot, confirmed: true } }, outcomes: [...outcomes, { kind: "confirmed", boot: boot.number }] };
}

function begin(state: BootState, rules: BootRules, stage?: BootStage, firmware?: FirmwareKind): BootStep {
  const outcomes: BootOutcome[] = [];
  const previous = state.boot;
  if (previous !== undefined && isBooting(state)) {
    const reason = "its firmware asked again before it was up";
    outcomes.push({ kind: "abandoned", boot: previous.number, stage: stageOf(previous.reached), reason });
  }
  const who = firmware === undefined ? {} : { firmware };
  const number = rules.nextNumber();
  outcomes.push({ kind: "began", boot: number, ...who });
  // The old session is fenced by whoever hears of the new boot: it is no session of this one.
  const fresh: BootState = { boot: { number, ...who, reached: new Set(), confirmed: false } };
  if (stage === undefined) return { state: fresh, outcomes };
  const next = reach(fresh, stage);
  return { state: next.state, outcomes: [...outcomes, ...next.outcomes] };
}

/**
 * A session that is reinstated after it has read is open-iscsi of the real root taking over from the initramfs: it closes
 * TCP without a Logout and logs in again with the same ISID some seconds after switch_root.
 */
function login(state: BootState, number: number, reinstated: boolean): BootStep {
  const tookOver = reinstated && state.boot?.reached.has("first-read") === true;
  // A machine that comes back to its disk has not been reset: whoever knocked was somebody else.
  const { knock: _, ...rest } = state;
  const boot = state.boot && { boot: { ...state.boot, confirmed: true } };
  const next = reach({ ...rest, ...boot, session: { number, hasRead: false } }, "login");
  if (!tookOver) return next;
  const up = reach(next.state, "up");
  return { state: up.state, outcomes: [...next.outcomes, ...up.outcomes] };
}

/** A stage counts when it is reached first. */
function reach(state: BootState, stage: BootStage): BootStep {
  const { boot } = state;
  if (boot === undefined || boot.reached.has(stage)) return { state, outcomes: [] };
  return {
    state: { ...state, boot: { ...boot, reached: new Set([...boot.reached, stage]) } },
    outcomes: [{ kind: "reached", boot: boot.number, stage }],
  };
}

/** What {@link Boots} needs of the world. */
export interface BootsOptions {
  readonly loaderBegins: boolean;
  /** The number of the first boot that begins; one more than the last that the data disk knows. */
  readonly firstNumber: number;
  readonly onBegan: (machine: MachineName, boot: number, firmware: FirmwareKind | undefined) => void;
  readonly onReached: (machine: MachineName, boot: number, stage: BootStage) => void;
  /** What the boot before left of sessions and ephemeral disks ends here. */
  readonly onConfirmed: (machine: MachineName, boot: number) => void;
  readonly onAbandoned: (machine: MachineName, boot: number, stage: BootStage, reason: string) => void;
  /** Calls `done` once after `ms`, unless the returned function is called first. */
  readonly after: (ms: number, done: () => void) => () => void;
  /** Of a clock that only goes forward. */
  readonly nowMs: () => number;
}

/** A session that has read and lives for this long belongs to a machine that is up. */
export const UP_AFTER_MS = 60_000;

/** The boots of all machines. The only timer there is says that a machine is up; one that is up has none. */
export class Boots {
  readonly #options: BootsOptions;
  readonly #states = new Map<MachineName, BootState>();
  readonly #timers = new Map<MachineName, () => void>();
  #nextNumber: number;
  #loaderBegins: boolean;

  constructor(options: BootsOptions) {
    this.#options = options;
    this.#nextNumber = options.firstNumber;
    this.#loaderBegins = options.loaderBegins;
  }

  /** A changed `dhcp.mode`. */
  set loaderBegins(value: boolean) {
    this.#loaderBegins = value;
  }

  /** What the machine's latest boot had reached when the daemon stopped: it goes on from there. */
  resume(machine: MachineName, boot: Boot): void {
    this.#states.set(machine, { boot });
  }

  /** Forgets every machine that the configuration no longer has. */
  keepOnly(machines: ReadonlySet<MachineName>): void {
    for (const machine of [...this.#states.keys()]) {
      if (machines.has(machine)) continue;
      this.#cancel(machine);
      this.#states.delete(machine);
    }
  }

  current(machine: MachineName): Boot | undefined {
    return this.#states.get(machine)?.boot;
  }

  signal(machine: MachineName, signal: BootSignal): void {
    const rules: BootRules = { loaderBegins: this.#loaderBegins, nextNumber: () => this.#nextNumber++, nowMs: this.#options.nowMs() };
    this.#apply(machine, step(this.#states.get(machine) ?? {}, signal, rules));
  }

  /** Stops every timer. */
  close(): void {
    for (const machine of [...this.#timers.keys()]) this.#cancel(machine);
  }

  #apply(machine: MachineName, { state, outcomes }: BootStep): void {
    this.#states.set(machine, state);
    if (!isBooting(state) || state.session === undefined) this.#cancel(machine);
    for (const outcome of outcomes) {
      switch (outcome.kind) {
        case "began":
          this.#options.onBegan(machine, outcome.boot, outcome.firmware);
          break;
        case "reached":
          this.#options.onReached(machine, outcome.boot, outcome.stage);
          break;
        case "confirmed":
          this.#options.onConfirmed(machine, outcome.boot);
          break;
        case "abandoned":
          this.#options.onAbandoned(machine, outcome.boot, outcome.stage, outcome.reason);
          break;
        case "watch":
          this.#watch(machine, outcome.session);
          break;
      }
    }
  }

  #watch(machine: MachineName, session: number): void {
    this.#cancel(machine);
    const cancel = this.#options.after(UP_AFTER_MS, () => {
      this.#timers.delete(machine);
      this.#apply(machine, lived(this.#states.get(machine) ?? {}, session));
    });
    this.#timers.set(machine, cancel);
  }

  #cancel(machine: MachineName): void {
    this.#timers.get(machine)?.();
    this.#timers.delete(machine);
  }
}
