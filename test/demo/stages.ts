import type { FileRole, TimedEvent } from "../../src/state/events.ts";

/** What the machine has to go through, in order, and how it shows: in the daemon's events, or on its own console. */
interface Stage {
  readonly name: "lease" | "loader" | "kernel" | "initramfs" | "session" | "root" | "login";
  /** What is being waited for. */
  readonly about: string;
  /** A sentence about how it went, as soon as this event ends the stage. */
  readonly event?: (event: TimedEvent) => string | undefined;
  /** Words on the console that end the stage, and the sentence. */
  readonly console?: readonly [pattern: RegExp, sentence: string];
  /** The transfer of a file of this role is shown as a bar. */
  readonly role?: FileRole;
}

const sent = (role: FileRole) => (event: TimedEvent) => {
  if (event.type !== "transfer.finished" || event.role !== role) return undefined;
  return `${megabytes(event.sentBytes)} over ${event.transport.toUpperCase()} in ${(event.elapsedMs / 1000).toFixed(1)} s`;
};

export const STAGES: readonly Stage[] = [
  {
    name: "lease",
    about: "its firmware asks for an address",
    event: (event) =>
      event.type === "dhcp.acknowledged" && event.firmware !== undefined ? `${event.address}, asked for by ${event.firmware}` : undefined,
  },
  {
    name: "loader",
    about: "shim and GRUB, as Secure Boot would have them",
    event: (event) => (event.type === "transfer.finished" && event.role === "config" ? `GRUB runs and has read ${event.path}` : undefined),
    role: "loader",
  },
  { name: "kernel", about: "GRUB fetches it", event: sent("kernel"), role: "kernel" },
  { name: "initramfs", about: "GRUB fetches it", event: sent("initramfs"), role: "initramfs" },
  {
    name: "session",
    about: "Linux starts, and its initramfs looks for the disk",
    event: (event) => (event.type === "iscsi.login" ? `${event.initiator} has its disk` : undefined),
  },
  {
    name: "root",
    about: "the root file system, over iSCSI",
    console: [/EXT4-fs \(sda\): mounted|Mounted .*sysroot/, "mounted from that disk"],
  },
  { name: "login", about: "the system on that disk starts", console: [/^.* login:/m, "it waits for you"] },
];

export type StageName = Stage["name"];

/** Follows one boot of one machine. Events and console text in, sentences and progress out. */
export class BootWatch {
  readonly #machine: string;
  readonly #reached = new Map<StageName, PromiseWithResolvers<string>>();
  readonly #transfers = new Map<number, { readonly role: FileRole; readonly path: string; readonly sizeBytes: number }>();
  #console = "";
  #tell: (name: StageName, progress: Progress) => void = () => undefined;

  constructor(machine: string) {
    this.#machine = machine;
    for (const { name } of STAGES) {
      const ending = Promise.withResolvers<string>();
      // A failure is heard by whoever waits; stages that nobody waits for yet must not end the process.
      ending.promise.catch(() => undefined);
      this.#reached.set(name, ending);
    }
  }

  /** The sentence about how the stage went; rejects when {@link fail} was called before. */
  reached(name: StageName): Promise<string> {
    return this.#ending(name).promise;
  }

  onProgress(tell: (name: StageName, progress: Progress) => void): void {
    this.#tell = tell;
  }

  event(event: TimedEvent): void {
    if (!("machine" in event) || event.machine !== this.#machine) return;
    for (const stage of STAGES) {
      const sentence = stage.event?.(event);
      if (sentence !== undefined) this.#ending(stage.name).resolve(sentence);
    }
    if (event.type === "transfer.started") this.#transfers.set(event.transfer, event);
    if (event.type === "transfer.progressed") {
      const transfer = this.#transfers.get(event.transfer);
      const stage = STAGES.find(({ role }) => role !== undefined && role === transfer?.role);
      if (transfer === undefined || stage === undefined) return;
      this.#tell(stage.name, { path: transfer.path, sentBytes: event.sentBytes, sizeBytes: transfer.sizeBytes });
    }
  }

  /** All that the console has said in this boot so far. */
  console(text: string): void {
    this.#console = text;
    for (const { name, console } of STAGES) {
      if (console?.[0].test(this.#console)) this.#ending(name).resolve(console[1]);
    }
  }

  fail(reason: Error): void {
    for (const ending of this.#reached.values()) ending.reject(reason);
  }

  #ending(name: StageName): PromiseWithResolvers<string> {
    const ending = this.#reached.get(name);
    if (ending === undefined) throw new Error(`no such stage: ${name}`);
    return ending;
  }
}

export interface Progress {
  readonly path: string;
  readonly sentBytes: number;
  readonly sizeBytes: number;
}

const BAR_CHARACTERS = 30;

/** `━━━━━━━━───────  52%  9.9 of 19.1 MB  initrd.img`. */
export function drawProgress({ path, sentBytes, sizeBytes }: Progress): string {
  const share = sizeBytes > 0 ? Math.min(1, sentBytes / sizeBytes) : 0;
  const full = Math.round(share * BAR_CHARACTERS);
  const bar = "━".repeat(full) + "─".repeat(BAR_CHARACTERS - full);
  return `${bar} ${String(Math.floor(share * 100)).padStart(3)}%  ${megabytes(sentBytes, sizeBytes)}  ${path}`;
}

function megabytes(...bytes: readonly number[]): string {
  return `${bytes.map((one) => (one / 1e6).toFixed(1)).join(" of ")} MB`;
}
