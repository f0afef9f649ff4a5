import { mkdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Card, cardLayout } from "./card.ts";
import { runMaker } from "./maker.ts";
import { Monitor } from "./monitor.ts";
import type { NetworkNamespace } from "./netns.ts";
import { type BackgroundProcess, runOrThrow } from "./process.ts";
import type { Resources } from "./resources.ts";
import { Transcript } from "./transcript.ts";

const SETUP = join(import.meta.dirname, "..", "setup");
/** From power-on to serving, on two busy cores under software emulation. */
export const SERVING_TIMEOUT_MS = 300_000;

/** The PL061 of QEMU's virt machine (hw/arm/virt.c), and its registers (ARM DDI 0190B, 3.3). */
const GPIO_BASE = 0x0903_0000;
const GPIODATA_ALL_LINES = 0x3fc;
const GPIODIR = 0x400;

/** As in board/qemu-virt/board.yaml. */
export const LAMP_LINES = { ready: 0, rack: 1, disk: 2, fault: 4 } as const;
export type LampName = keyof typeof LAMP_LINES;

/** What test/setup/board.sh gathered, with today's root file system. */
export interface BoardParts {
  readonly kernel: string;
  readonly initrd: string;
  readonly root: string;
}

/** Gathers and builds what is missing; `tell` gets the progress, line by line. */
export async function ensureBoard(resources: Resources, folder: string, tell: (line: string) => void): Promise<BoardParts> {
  const gathered = await runMaker(resources, [join(SETUP, "board.sh")], tell);
  const root = await runMaker(resources, [join(SETUP, "board-image.sh"), gathered, folder], tell);
  return { kernel: join(gathered, "vmlinuz"), initrd: join(gathered, "initrd.img"), root };
}

export interface BoardOptions {
  readonly directory: string;
  readonly parts: BoardParts;
  readonly card: Card;
  /** Raw files, each a USB disk (UAS) with the serial number that is its key. */
  readonly disks: Readonly<Record<string, string>>;
}

/** An arm64 board with a card, USB disks, a cable, a serial line, lamps and a button. */
export class Board {
  /** Everything that came over the serial line, over all starts. */
  readonly uart: Transcript = new Transcript();
  readonly #resources: Resources;
  readonly #namespace: NetworkNamespace;
  readonly #tap: string;
  readonly #options: BoardOptions;
  #disks: Readonly<Record<string, string>>;
  #process: BackgroundProcess | undefined;
  #socket: Socket | undefined;
  #monitor: Monitor | undefined;
  #commands = 0;

  private constructor(resources: Resources, namespace: NetworkNamespace, tap: string, options: BoardOptions) {
    this.#resources = resources;
    this.#namespace = namespace;
    this.#tap = tap;
    this.#options = options;
    this.#disks = options.disks;
  }

  static async install(resources: Resources, namespace: NetworkNamespace, options: BoardOptions): Promise<Board> {
    mkdirSync(options.directory, { recursive: true });
    return new Board(resources, namespace, await namespace.addTap(), options);
  }

  /** While it is off: these disks from now on. */
  plug(disks: Readonly<Record<string, string>>): void {
    this.#disks = disks;
  }

  async powerOn(): Promise<void> {
    if (this.#process?.running) throw new Error("the board is on already");
    this.uart.skip();
    const uart = join(this.#options.directory, "uart.sock");
    const monitor = join(this.#options.directory, "monitor.sock");
    const process = this.#namespace.start(this.#resources, this.#commandLine(uart, monitor));
    this.#process = process;
    await this.#whenThere(process, async () => {
      this.#socket = await this.#connect(uart);
      this.#monitor = await Monitor.open(monitor);
    });
  }

  waitFor(pattern: RegExp, timeoutMs: number = SERVING_TIMEOUT_MS): Promise<RegExpExecArray> {
    return this.uart.waitFor(pattern, timeoutMs, this.off());
  }

  /** Resolves, with words for a message, when it has no power any more. */
  async off(): Promise<string> {
    if (this.#process !== undefined) await this.#process.exited;
    return `the board was off (${this.#process?.output.tail(3)})`;
  }

  type(text: string): void {
    this.#socket?.write(text);
  }

  /** A command in the shell that is on the serial line. */
  async shell(command: string, timeoutMs = 120_000): Promise<{ readonly code: number; readonly output: string }> {
    const id = ++this.#commands;
    // The words of the markers are joined by the shell, so that an echo of the line is not taken for its answer.
    this.type(`echo "<<"${id}; { ${command}\n} 2>&1 </dev/null; echo ">>"${id}:$?\n`);
    await this.waitFor(new RegExp(`<<${id}\n`), timeoutMs);
    const [, output = "", code = ""] = await this.waitFor(new RegExp(`^([^]*?)>>${id}:(\\d+)\n`), timeoutMs);
    return { code: Number(code), output };
  }

  /** Which lamps are lit at this instant, read from the pins of the chip. */
  async lamps(): Promise<Readonly<Record<LampName, boolean>>> {
    const monitor = this.#powered();
    const data = await monitor.word(GPIO_BASE + GPIODATA_ALL_LINES);
    const outputs = await monitor.word(GPIO_BASE + GPIODIR);
    const lit = (name: LampName): boolean => (data & outputs & (1 << LAMP_LINES[name])) !== 0;
    return { ready: lit("ready"), rack: lit("rack"), disk: lit("disk"), fault: lit("fault") };
  }

  /** A short press of the button. */
  async press(): Promise<void> {
    await this.#powered().human("system_powerdown");
  }

  async cutPower(): Promise<void> {
    await this.#process?.stop("SIGKILL");
    this.#socket?.destroy();
    this.#monitor?.close();
  }

  #powered(): Monitor {
    if (this.#monitor === undefined) throw new Error("the board is off");
    return this.#monitor;
  }

  #commandLine(uart: string, monitor: string): string[] {
    const { parts, card, directory } = this.#options;
    const layout = cardLayout();
    const root = `PARTUUID=${layout["DISK_SIGNATURE"]}-${String(layout["PARTITION_ROOT_A"]).padStart(2, "0")}`;
    const disks = Object.entries(this.#disks).flatMap(([serial, file], index) => [
      ...["-drive", `id=disk${index},if=none,format=raw,discard=unmap,file=${file}`],
      ...["-device", `usb-uas,id=uas${index}`],
      ...["-device", `scsi-hd,bus=uas${index}.0,drive=disk${index},serial=${serial}`],
    ]);
    return [
      "qemu-system-aarch64",
      ...["-machine", "virt", "-cpu", "max,pauth-impdef=on", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024"],
      ...["-nodefaults", "-display", "none", "-no-user-config"],
      ...["-kernel", parts.kernel, "-initrd", parts.initrd],
      ...["-append", `console=ttyAMA0 quiet panic=10 root=${root} rauc.slot=a`],
      ...["-chardev", `socket,id=uart,path=${uart},server=on,wait=off,logfile=${join(directory, "uart.log")},logappend=on`],
      ...["-serial", "chardev:uart"],
      ...["-qmp", `unix:${monitor},server=on,wait=off`],
      ...["-drive", `id=card,if=none,format=raw,file=${card.file}`, "-device", "sdhci-pci", "-device", "sd-card,drive=card"],
      ...["-device", "qemu-xhci,id=usb", ...disks],
      ...["-netdev", `tap,id=rack,ifname=${this.#tap},script=no,downscript=no`],
      ...["-device", "virtio-net-pci,netdev=rack,mac=52:54:00:16:00:01,romfile="],
      ...["-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset"],
    ];
  }

  async #whenThere(process: BackgroundProcess, work: () => Promise<void>): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!process.running || attempt === 100) throw new Error(`The board did not start: ${process.output.tail()}`, { cause: error });
        await sleep(100);
      }
    }
  }

  async #connect(path: string): Promise<Socket> {
    const socket = connect(path);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => this.uart.append(chunk));
    socket.on("error", () => undefined);
    return socket;
  }
}

/** An empty disk of a size that only what is written takes. */
export async function emptyDisk(file: string, size: string): Promise<string> {
  await runOrThrow(["truncate", "-s", "0", file]);
  await runOrThrow(["truncate", "-s", size, file]);
  return file;
}
