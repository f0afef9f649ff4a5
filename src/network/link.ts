import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Emit } from "../state/events.ts";

/** sysfs tells of no change by itself. A cable that is out for less than this harms nobody. */
const LOOK_EVERY_MS = 1000;

export interface LinkWatcherOptions {
  readonly emit: Emit;
  /** Where the kernel lists its interfaces. */
  readonly folder?: string;
  /** As `os.networkInterfaces`, which lists those with a carrier and an address. */
  readonly present?: () => Readonly<Record<string, unknown>>;
}

type Link = { readonly up: true; readonly speedMbps?: number } | { readonly up: false; readonly reason: string };

/** Tells when the cable of an interface comes and goes: `link.up` or `link.down` at the start and at each change. */
export class LinkWatcher {
  readonly device: string;
  readonly #emit: Emit;
  readonly #folder: string;
  readonly #present: () => Readonly<Record<string, unknown>>;
  #told: boolean | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(device: string, options: LinkWatcherOptions) {
    this.device = device;
    this.#emit = options.emit;
    this.#folder = options.folder ?? "/sys/class/net";
    this.#present = options.present ?? networkInterfaces;
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
    void this.look();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks once, now. Never rejects. */
  async look(): Promise<void> {
    const link = await this.#read();
    if (link.up === this.#told) return;
    this.#told = link.up;
    if (!link.up) return this.#emit({ type: "link.down", interface: this.device, reason: link.reason });
    this.#emit({ type: "link.up", interface: this.device, ...(link.speedMbps !== undefined && { speedMbps: link.speedMbps }) });
  }

  async #read(): Promise<Link> {
    const carrier = await this.#attribute("carrier");
    if (carrier === "1") {
      const speedMbps = Number(await this.#attribute("speed"));
      return { up: true, ...(speedMbps > 0 && { speedMbps }) };
    }
    if (carrier === "0") return { up: false, reason: "no cable, or what is at its other end is off" };
    // Within a network namespace of somebody else's sysfs; and whatever has no carrier to tell of.
    if (this.device in this.#present()) return { up: true };
    // Reading the carrier of an interface that is down is an error of its own (EINVAL).
    if ((await this.#attribute("ifindex")) !== undefined) {
      return { up: false, reason: `it is switched off: ip link set ${this.device} up` };
    }
    return { up: false, reason: "there is no such interface" };
  }

  async #attribute(name: string): Promise<string | undefined> {
    try {
      return (await readFile(join(this.#folder, this.device, name), "utf8")).trim();
    } catch {
      return undefined;
    }
  }
}
