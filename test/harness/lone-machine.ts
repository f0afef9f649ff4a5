import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { type BootRecord, currentBoot } from "../../src/state/state.ts";
import { Daemon } from "./daemon.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "./netns.ts";
import { QemuMachine, type QemuOptions } from "./qemu.ts";
import type { Resources } from "./resources.ts";

const MAC = "52:54:00:16:00:10";
const ADDRESS = "172.16.0.16";
const POLL_MS = 500;

/** A folder under build/ for one test file: emptied, since disks are made in it before the rack stands. */
export function emptyDirectory(name: string): string {
  const directory = join(import.meta.dirname, "..", "..", "build", name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  return directory;
}

export interface LoneMachineOptions {
  /** Gets configuration, firmware variables and logs. */
  readonly directory: string;
  /** UEFI, if nothing else is said. */
  readonly firmware?: QemuOptions["firmware"];
  /** Its entry in rackboot.yaml, besides MAC address and address. */
  readonly machine: object;
  /** The rest of rackboot.yaml, as far as it is not the same for all. */
  readonly config?: object;
}

/** A rack of one machine without power yet, `uqbar`, and the daemon that it boots from. */
export class LoneMachine {
  readonly uqbar: QemuMachine;
  readonly namespace: NetworkNamespace;
  #daemon: Daemon;

  private constructor(namespace: NetworkNamespace, daemon: Daemon, uqbar: QemuMachine) {
    this.namespace = namespace;
    this.#daemon = daemon;
    this.uqbar = uqbar;
  }

  static async start(
    resources: Resources,
    { directory, firmware = "uefi", machine, config = {} }: LoneMachineOptions,
  ): Promise<LoneMachine> {
    const files = { config: join(directory, "rackboot.yaml"), socket: join(directory, "control.sock") };
    const whole = {
      network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` },
      dhcp: {},
      storage: { path: join(directory, "data") },
      machines: { uqbar: { mac: MAC, address: ADDRESS, ...machine } },
      ...config,
    };
    writeFileSync(files.config, stringify(whole));
    const namespace = await NetworkNamespace.create(resources);
    const daemon = await Daemon.start(resources, namespace, files);
    const settings = { name: "uqbar", firmware, mac: MAC, directory: join(directory, "uqbar") };
    return new LoneMachine(namespace, daemon, await QemuMachine.install(resources, namespace, settings));
  }

  get daemon(): Daemon {
    return this.#daemon;
  }

  /** Ends it in order and starts another on the same files: what it knew is gone, but for what it wrote. */
  async restartDaemon(resources: Resources): Promise<void> {
    await this.#daemon.stop();
    this.#daemon = await Daemon.start(resources, this.namespace, this.#daemon.files);
  }

  /** From power-on to its login prompt; returns how often its disk has been booted. */
  async bootToLogin(): Promise<number> {
    await this.uqbar.powerOn();
    const { boot } = await this.uqbar.waitUntilUp();
    await this.uqbar.waitFor(/uqbar login:/);
    return boot;
  }

  async boot(): Promise<BootRecord | undefined> {
    return currentBoot((await this.daemon.status()).state, "uqbar");
  }

  /** The daemon counts it as up when its session has lived for a while. */
  async untilCountedAsUp(): Promise<void> {
    while ((await this.boot())?.outcome !== "up") await sleep(POLL_MS);
  }

  /** The version of the kernel that runs. */
  async kernel(): Promise<string> {
    return (await this.uqbar.shell("uname -r")).stdout.trim();
  }

  async kernelLine(): Promise<string> {
    return (await this.uqbar.shell("cat /proc/cmdline")).stdout.trim();
  }
}
