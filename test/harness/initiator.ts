import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BRIDGE, type NetworkNamespace } from "./netns.ts";
import { type BackgroundProcess, runOrThrow } from "./process.ts";
import { PROCESSOR } from "./qemu.ts";
import type { Resources } from "./resources.ts";

const SCRIPT = join(import.meta.dirname, "..", "setup", "initiator.sh");
const MAKE_TIMEOUT_MS = 1_200_000;
const BOOT_TIMEOUT_MS = 300_000;
const COMMAND_TIMEOUT_MS = 120_000;

export interface InitiatorOptions {
  readonly name: string;
  /** InitiatorName of the machine. */
  readonly initiator: string;
  /** A network card for each: address with prefix length. */
  readonly addresses: readonly string[];
  /** Keeps the log of its console; made anew. */
  readonly directory: string;
}

/** Makes the image where it is missing, which takes some minutes once; returns the folder of it. */
async function ensureImage(): Promise<string> {
  const printed = await runOrThrow([SCRIPT], { timeoutMs: MAKE_TIMEOUT_MS });
  return printed.trimEnd().split("\n").at(-1) ?? "";
}

/**
 * A Linux machine in QEMU that boots from a disk of its own, in seconds, and has the kernel's initiator, dm-multipath and
 * sg3-utils: what a rack's machines are once they are up. See test/setup/initiator.sh.
 */
export class LinuxInitiator {
  readonly #process: BackgroundProcess;
  readonly #namespace: NetworkNamespace;
  /** The cables, in the order of the addresses. */
  readonly #taps: readonly string[];
  #commands = 0;

  private constructor(process: BackgroundProcess, namespace: NetworkNamespace, taps: readonly string[]) {
    this.#process = process;
    this.#namespace = namespace;
    this.#taps = taps;
  }

  /** Resolves when its shell takes commands. */
  static async boot(resources: Resources, namespace: NetworkNamespace, options: InitiatorOptions): Promise<LinuxInitiator> {
    const image = await ensureImage();
    rmSync(options.directory, { recursive: true, force: true });
    mkdirSync(options.directory, { recursive: true });
    const taps: string[] = [];
    for (const _ of options.addresses) taps.push(await namespace.addTap());
    const process = namespace.start(resources, commandLine(image, taps, options));
    await process.output.waitFor(/initiator: up \S+\r?\n/, BOOT_TIMEOUT_MS);
    const machine = new LinuxInitiator(process, namespace, taps);
    for (const [card, address] of options.addresses.entries()) {
      await machine.run(`ip address add ${address} dev eth${card} && ip link set eth${card} up`);
    }
    return machine;
  }

  /** Everything that its console said. */
  get console(): string {
    return this.#process.output.text;
  }

  /** Runs a command that must succeed; returns its output and its errors as one text. */
  async run(command: string, timeoutMs?: number): Promise<string> {
    const { code, output } = await this.try(command, timeoutMs);
    if (code !== 0) throw new Error(`${command}: exit code ${code}:\n${output}`);
    return output;
  }

  async try(command: string, timeoutMs: number = COMMAND_TIMEOUT_MS): Promise<{ readonly code: number; readonly output: string }> {
    const id = ++this.#commands;
    this.#process.write(`echo "<<"${id}; { ${command}\n} 2>&1 </dev/null; echo ">>"${id}:$?\n`);
    const answer = new RegExp(`<<${id}\r?\n([^]*?)>>${id}:(\\d+)\r?\n`);
    const [, output = "", code = ""] = await this.#process.output.waitFor(answer, timeoutMs);
    return { code: Number(code), output };
  }

  /** Runs a command again and again until it succeeds. */
  async until(command: string, timeoutMs: number = COMMAND_TIMEOUT_MS): Promise<string> {
    const seconds = Math.ceil(timeoutMs / 1000);
    const loop = `n=0; until ${command}; do n=$((n + 1)); [ $n -lt ${seconds * 2} ] || exit 1; sleep 0.5; done`;
    return this.run(`(${loop})`, timeoutMs * 2);
  }

  /** Pulls the cable of a card at the switch, or plugs it in again: the guest's card does not notice, only what it sends is lost. */
  async cable(card: number, plugged: boolean): Promise<void> {
    // Down as well: a bridge has the address of one of its ports, and a port that leaves would go on taking what is sent to it.
    const state = plugged ? ["master", BRIDGE, "up"] : ["nomaster", "down"];
    const { code, stderr } = await this.#namespace.run(["ip", "link", "set", this.#taps[card] ?? "", ...state]);
    if (code !== 0) throw new Error(`The cable of card ${card} cannot be moved: ${stderr}`);
  }
}

function commandLine(image: string, taps: readonly string[], { name, initiator }: InitiatorOptions): readonly string[] {
  const card = (tap: string, index: number): readonly string[] => [
    ...["-netdev", `tap,id=rack${index},ifname=${tap},script=no,downscript=no`],
    ...["-device", `virtio-net-pci,netdev=rack${index},romfile=,mac=52:54:00:16:01:${(16 + index).toString(16)}`],
  ];
  const words = "root=/dev/vda rw fastboot net.ifnames=0 console=ttyS0 quiet panic=-1 mitigations=off init=/usr/local/sbin/initiator-init";
  return [
    "qemu-system-x86_64",
    ...["-name", name, "-machine", "q35,graphics=off", "-accel", "tcg,thread=multi", "-cpu", PROCESSOR, "-smp", "2", "-m", "768"],
    ...["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-device", "virtio-rng-pci"],
    ...["-kernel", join(image, "vmlinuz"), "-initrd", join(image, "initrd.img"), "-append", `${words} initiator=${initiator}`],
    // What it writes is gone with it: every boot finds the image as it was made.
    ...["-drive", `if=virtio,format=raw,snapshot=on,file=${join(image, "disk.raw")}`],
    ...taps.flatMap(card),
  ];
}
