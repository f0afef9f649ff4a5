import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { Daemon } from "./daemon.ts";
import { copyDisk, GUEST_ARGUMENTS, type Guest } from "./guest.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "./netns.ts";
import { QemuMachine, type QemuOptions } from "./qemu.ts";
import type { Resources } from "./resources.ts";

export interface RackMachine {
  readonly name: string;
  /** The last part of its MAC address and of its IPv4 address. */
  readonly number: number;
  readonly firmware: QemuOptions["firmware"];
  readonly network: "dhclient" | "networkmanager";
  /** Its disk is one xfs with /boot inside, and decides what boots; otherwise it is an ext4, and the kernel is configured. */
  readonly seed?: true;
  /** Path of the boot loader that it is handed instead of the daemon's own choice. */
  readonly loader?: string;
}

export const macOf = ({ number }: RackMachine): string => `52:54:00:16:00:${number.toString(16).padStart(2, "0")}`;
export const addressOf = ({ number }: RackMachine): string => `172.16.0.${number}`;
export const targetOf = ({ name }: RackMachine): string => `iqn.2026-01.lan.rackboot:${name}`;

export interface RackOptions {
  /** Emptied, and filled with configuration, disks, firmware variables and logs. */
  readonly directory: string;
  readonly guest: Guest;
  readonly machines: readonly RackMachine[];
}

/** A switch, the daemon at it, and machines without power yet whose disks are copies of the guest. */
export class TestRack {
  readonly namespace: NetworkNamespace;
  readonly daemon: Daemon;
  readonly #machines: ReadonlyMap<string, QemuMachine>;
  readonly #options: RackOptions;

  private constructor(namespace: NetworkNamespace, daemon: Daemon, machines: ReadonlyMap<string, QemuMachine>, options: RackOptions) {
    this.namespace = namespace;
    this.daemon = daemon;
    this.#machines = machines;
    this.#options = options;
  }

  static async start(resources: Resources, options: RackOptions): Promise<TestRack> {
    const { directory, guest, machines } = options;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    for (const machine of machines) await copyDisk(guest, diskOf(directory, machine), machine.seed ? "seed" : "disk");
    writeConfig(options);

    const namespace = await NetworkNamespace.create(resources);
    const daemon = await Daemon.start(resources, namespace, configFiles(directory));
    const installed = new Map<string, QemuMachine>();
    for (const machine of machines) {
      const { name, firmware } = machine;
      const settings = { name, firmware, mac: macOf(machine), directory: join(directory, name) };
      installed.set(name, await QemuMachine.install(resources, namespace, settings));
    }
    return new TestRack(namespace, daemon, installed, options);
  }

  machine(name: string): QemuMachine {
    const machine = this.#machines.get(name);
    if (machine === undefined) throw new Error(`There is no machine ${name} in this rack`);
    return machine;
  }

  /** Gives the daemon these machines instead; they must have been there when the rack started. */
  async reconfigure(machines: readonly RackMachine[]): Promise<void> {
    writeConfig({ ...this.#options, machines });
    await this.daemon.reload();
  }
}

const diskOf = (directory: string, { name }: RackMachine): string => join(directory, `${name}.raw`);

function configFiles(directory: string): { readonly config: string; readonly socket: string } {
  return { config: join(directory, "rackboot.yaml"), socket: join(directory, "control.sock") };
}

function configuredBoot(guest: Guest, { network, loader }: RackMachine): object {
  return {
    kernel: guest.kernel,
    initrd: network === "dhclient" ? guest.initrd : guest.initrdNetworkManager,
    ...(loader === undefined ? {} : { loader }),
    arguments: GUEST_ARGUMENTS,
  };
}

function writeConfig({ directory, guest, machines }: RackOptions): void {
  const entry = (machine: RackMachine): object => ({
    mac: macOf(machine),
    address: addressOf(machine),
    disks: [{ file: diskOf(directory, machine) }],
    ...(machine.seed ? { arguments: "rw console=ttyS0" } : { boot: configuredBoot(guest, machine) }),
  });
  const config = {
    network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` },
    dhcp: { range: "172.16.0.100-172.16.0.200" },
    storage: { path: join(directory, "data") },
    machines: Object.fromEntries(machines.map((machine) => [machine.name, entry(machine)])),
  };
  writeFileSync(configFiles(directory).config, stringify(config));
}
