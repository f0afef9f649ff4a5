import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import { deviceOf, type NetworkConfig } from "../machine/config.ts";
import { NetworkError } from "./interface.ts";

const run = promisify(execFile);

const COMMAND_TIMEOUT_MS = 5000;
const MAX_OUTPUT_OCTETS = 64 * 1024;

const held = z.array(z.strictObject({ device: z.string(), address: z.string(), madeDevice: z.boolean() }));

/** One address that was set here. `madeDevice`: the VLAN's device was made for it. */
type Held = z.infer<typeof held>[number];

export interface ManagedNetworkOptions {
  /**
   * Where to remember what was set. It belongs on a file system that ends with the power, as the addresses do: a daemon that
   * was killed finds there what it left on the interface.
   */
  readonly record: string;
  /** Runs `ip` with these words; rejects where it fails. */
  readonly ip?: (words: readonly string[]) => Promise<unknown>;
  readonly exists?: (device: string) => boolean;
}

/**
 * With `network.manage: true`, the address (and the VLAN's device) on the interface is the daemon's to set. It never touches
 * an address that it did not set. Words are those that iproute2 and busybox have in common.
 */
export class ManagedNetwork {
  readonly #record: string;
  readonly #ip: (words: readonly string[]) => Promise<unknown>;
  readonly #exists: (device: string) => boolean;

  constructor({ record, ip = runIp, exists = isDevice }: ManagedNetworkOptions) {
    this.#record = record;
    this.#ip = ip;
    this.#exists = exists;
  }

  /** Sets the address where it is not there yet; what was set before stays until {@link retire}. Throws {@link NetworkError}. */
  async ensure(wanted: NetworkConfig): Promise<void> {
    if (!wanted.manage) return;
    const before = this.#read();
    const { device, address } = heldBy(wanted);
    const makesDevice = wanted.vlan !== undefined && !this.#exists(device);
    const known = before.find((one) => one.device === device && one.address === address);
    // Remembered first: what is remembered and not there is harmless, the other way round an address would stay for ever.
    const madeDevice = makesDevice || before.some((one) => one.device === device && one.madeDevice);
    this.#write([...before.filter((one) => one !== known), { device, address, madeDevice }]);
    await this.#do(["link", "set", "dev", wanted.interface, "up"]);
    if (makesDevice) {
      await this.#do(["link", "add", "link", wanted.interface, "name", device, "type", "vlan", "id", String(wanted.vlan)]);
    }
    if (device !== wanted.interface) await this.#do(["link", "set", "dev", device, "up"]);
    await this.#do(["address", "replace", address, "broadcast", "+", "dev", device]);
  }

  /** Takes away every address and device that was set here, except for what `kept` wants. Never throws for what has gone by itself. */
  async retire(kept: NetworkConfig): Promise<void> {
    const before = this.#read();
    if (before.length === 0) return;
    const stays = kept.manage ? heldBy(kept) : undefined;
    const isKept = (one: Held): boolean => one.device === stays?.device && one.address === stays.address;
    for (const one of before.filter((other) => !isKept(other))) {
      await this.#ip(["address", "del", one.address, "dev", one.device]).catch(() => undefined);
      if (one.madeDevice && one.device !== stays?.device) await this.#ip(["link", "del", "dev", one.device]).catch(() => undefined);
    }
    this.#write(before.filter(isKept));
  }

  async #do(words: readonly string[]): Promise<void> {
    try {
      await this.#ip(words);
    } catch (cause) {
      const { stderr, message } = cause as { readonly stderr?: string; readonly message?: string };
      const reason = (stderr ?? "").trim() || message || "unknown";
      throw new NetworkError(
        `network.manage: "ip ${words.join(" ")}" failed: ${reason}. Correct network.interface, or set the address yourself with manage: false`,
        { cause },
      );
    }
  }

  #read(): readonly Held[] {
    try {
      return held.parse(JSON.parse(readFileSync(this.#record, "utf8")));
    } catch {
      // There is none yet, or it is not ours: then nothing is known to have been set.
      return [];
    }
  }

  #write(all: readonly Held[]): void {
    try {
      mkdirSync(dirname(this.#record), { recursive: true });
      const temporary = `${this.#record}.new`;
      writeFileSync(temporary, JSON.stringify(all));
      renameSync(temporary, this.#record);
    } catch (cause) {
      throw new NetworkError(`network.manage: ${this.#record} cannot be written: ${(cause as Error).message}`, { cause });
    }
  }
}

function heldBy(network: NetworkConfig): { readonly device: string; readonly address: string } {
  return { device: deviceOf(network), address: `${network.address}/${network.prefixLength}` };
}

/** Whether there is such an interface, with a carrier or without. /sys may be that of another network namespace, /proc/sys/net is ours. */
export function isDevice(name: string): boolean {
  return existsSync(`/proc/sys/net/ipv4/conf/${name}`);
}

function runIp(words: readonly string[]): Promise<unknown> {
  return run("ip", [...words], { timeout: COMMAND_TIMEOUT_MS, killSignal: "SIGKILL", maxBuffer: MAX_OUTPUT_OCTETS, encoding: "utf8" });
}
