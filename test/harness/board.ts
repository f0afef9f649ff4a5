import { mkdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { BootFiles, Card, CardImages } from "./card.ts";
import { runMaker } from "./maker.ts";
import { Monitor } from "./monitor.ts";
import type { NetworkNamespace } from "./netns.ts";
import { type BackgroundProcess, runOrThrow } from "./process.ts";
import { Qtest } from "./qtest.ts";
import type { Resources } from "./resources.ts";
import { Seat } from "./seat.ts";
import { Transcript } from "./transcript.ts";

const SETUP = join(import.meta.dirname, "..", "setup");
/** From power-on to serving, on two busy cores under software emulation. */
export const SERVING_TIMEOUT_MS = 600_000;
/** From a key to the page that it leads to, on the same. */
const SCREEN_TIMEOUT_MS = 120_000;

/** The PL061 of QEMU's virt machine (hw/arm/virt.c), and its registers (ARM DDI 0190B, 3.3). */
const GPIO_BASE = 0x0903_0000;
const GPIODATA_ALL_LINES = 0x3fc;
const GPIODIR = 0x400;

/** As in board/qemu-virt/board.yaml. */
export const LAMP_LINES = { ready: 0, rack: 1, disk: 2, fault: 4 } as const;
export type LampName = keyof typeof LAMP_LINES;
const BUTTON_LINE = 3;

/** What test/setup/board-image.sh made. */
export interface BoardParts extends CardImages {
  readonly folder: string;
}

/** Gathers and builds what is missing; `tell` gets the progress, line by line. */
export async function ensureBoard(resources: Resources, folder: string, tell: (line: string) => void): Promise<BoardParts> {
  const gathered = await runMaker(resources, [join(SETUP, "board.sh")], tell);
  const made = await runMaker(resources, [join(SETUP, "board-image.sh"), gathered, folder], tell);
  return { folder: made, boot: join(made, "boot.vfat"), root: join(made, "rootfs.squashfs") };
}

/** A disk behind a USB bridge (UAS). */
export interface UsbDisk {
  readonly serial: string;
  /** What it is made of: QEMU's BlockdevOptions. */
  readonly medium: Readonly<Record<string, unknown>>;
}

export interface BoardOptions {
  readonly directory: string;
  readonly card: Card;
}

/** Where QEMU listens. */
interface Sockets {
  readonly uart: string;
  readonly monitor: string;
  readonly qtest: string;
}

/** An entry of QEMU's object model. */
interface ObjectProperty {
  readonly name: string;
  readonly type: string;
}

/** How it came to be off: by itself in good order, for a restart, by its watchdog, or by the cord. */
export type PowerEnd = "shutdown" | "restart" | "watchdog" | "cut";

/** The last words of a kernel that was handed an argument for the boot loader (kernel/reboot.c). */
const RESTART_ARGUMENT = /Restarting system with command '([^']*)'/;

/** An arm64 board with a card, USB disks, a cable, a serial line at which a person sits, lamps and a button. */
export class Board {
  /** Everything that came over the serial line, over all starts. */
  readonly uart: Transcript = new Transcript();
  readonly seat: Seat = new Seat((text) => this.type(text));
  readonly #resources: Resources;
  readonly #namespace: NetworkNamespace;
  readonly #tap: string;
  readonly #options: BoardOptions;
  readonly #disks: UsbDisk[] = [];
  #process: BackgroundProcess | undefined;
  #socket: Socket | undefined;
  #unplugged: Promise<unknown> | undefined;
  #monitor: Monitor | undefined;
  #qtest: Qtest | undefined;
  /** The PL061 in QEMU's object model. */
  #chip = "";
  #cut = false;
  #commands = 0;

  private constructor(resources: Resources, namespace: NetworkNamespace, tap: string, options: BoardOptions) {
    this.#resources = resources;
    this.#namespace = namespace;
    this.#tap = tap;
    this.#options = options;
  }

  static async install(resources: Resources, namespace: NetworkNamespace, options: BoardOptions): Promise<Board> {
    mkdirSync(options.directory, { recursive: true });
    return new Board(resources, namespace, await namespace.addTap(), options);
  }

  get on(): boolean {
    return this.#process?.running === true;
  }

  /** Also while it is on, as USB allows. */
  async plug(disk: UsbDisk): Promise<void> {
    const index = this.#disks.push(disk) - 1;
    if (!this.on) return;
    const monitor = this.#powered();
    const { medium, bridge, drive } = devicesOf(disk, index);
    await monitor.command("blockdev-add", medium);
    await monitor.command("device_add", bridge);
    await monitor.command("device_add", drive);
    await monitor.command("qom-set", { path: `/machine/peripheral/${bridge.id}`, property: "attached", value: true });
  }

  /** `tryboot`: the one start of the other system that a restart asked for. `held`: somebody has a finger on the button. */
  async powerOn({ tryboot = false, held = false }: { readonly tryboot?: boolean; readonly held?: boolean } = {}): Promise<void> {
    if (this.on) throw new Error("the board is on already");
    this.uart.skip();
    const uart = join(this.#options.directory, "uart.sock");
    const monitor = join(this.#options.directory, "monitor.sock");
    const qtest = join(this.#options.directory, "qtest.sock");
    const { card } = this.#options;
    const files = await card.bootFiles(await card.slotToStart(tryboot));
    const process = this.#namespace.start(this.#resources, this.#commandLine({ uart, monitor, qtest }, files));
    this.#process = process;
    this.#cut = false;
    await this.#whenThere(process, async () => {
      this.#socket = await this.#connect(uart);
      this.#monitor = await Monitor.open(monitor);
      this.#qtest = await Qtest.open(qtest);
    });
    const parts = (await this.#powered().command("qom-list", { path: "/machine/unattached" })) as readonly ObjectProperty[];
    this.#chip = `/machine/unattached/${parts.find(({ type }) => type === "child<pl061>")?.name}`;
    if (held) await this.hold();
  }

  /** Resolves when it has no power any more. */
  async end(): Promise<PowerEnd> {
    await this.#process?.exited;
    // Its last words are on their way still.
    await Promise.all([this.#unplugged, this.#monitor?.closed]);
    const events = this.#monitor?.events ?? [];
    if (events.some(({ event }) => event === "WATCHDOG")) return "watchdog";
    const reason = events.findLast(({ event }) => event === "SHUTDOWN")?.data?.["reason"];
    return this.#cut || reason === undefined ? "cut" : reason === "guest-shutdown" ? "shutdown" : "restart";
  }

  /** Waits until it goes down to start again, and does what a Pi's boot loader does then. Throws where it ends in another way. */
  async restarts(): Promise<void> {
    const from = this.uart.text.length;
    const end = await this.end();
    if (end !== "restart" && end !== "watchdog") throw new Error(`a restart was waited for, and what came is: ${end}\n${this.uart.tail()}`);
    const argument = RESTART_ARGUMENT.exec(this.uart.text.slice(from))?.[1];
    await this.powerOn({ tryboot: argument?.endsWith(" tryboot") === true });
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

  shows(wanted: RegExp, timeoutMs: number = SCREEN_TIMEOUT_MS): Promise<string> {
    return this.seat.shows(wanted, timeoutMs, this.off());
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

  /** A finger on the button, until it is lifted. */
  async hold(): Promise<void> {
    await this.#qtest?.setLine(this.#chip, BUTTON_LINE, true);
  }

  async letGo(): Promise<void> {
    await this.#qtest?.setLine(this.#chip, BUTTON_LINE, false);
  }

  async cutPower(): Promise<void> {
    this.#cut = true;
    await this.#process?.stop("SIGKILL");
    this.#socket?.destroy();
    this.#monitor?.close();
    this.#qtest?.close();
  }

  #powered(): Monitor {
    if (this.#monitor === undefined) throw new Error("the board is off");
    return this.#monitor;
  }

  #commandLine({ uart, monitor, qtest }: Sockets, files: BootFiles): string[] {
    const { card, directory } = this.#options;
    const disks = this.#disks.flatMap((disk, index) => {
      const { medium, bridge, drive } = devicesOf(disk, index);
      return ["-blockdev", JSON.stringify(medium), "-device", JSON.stringify(bridge), "-device", JSON.stringify(drive)];
    });
    return [
      "qemu-system-aarch64",
      ...["-machine", "virt", "-cpu", "max,pauth-impdef=on", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024"],
      ...["-nodefaults", "-display", "none", "-no-user-config"],
      ...["-kernel", files.kernel, "-initrd", files.initrd, "-append", files.arguments],
      ...["-chardev", `socket,id=uart,path=${uart},server=on,wait=off,logfile=${join(directory, "uart.log")},logappend=on`],
      ...["-serial", "chardev:uart"],
      ...["-qmp", `unix:${monitor},server=on,wait=off`, "-qtest", `unix:${qtest},server=on,wait=off`, "-qtest-log", "none"],
      ...["-drive", `id=card,if=none,format=raw,file=${card.file}`, "-device", "sdhci-pci", "-device", "sd-card,drive=card"],
      ...["-device", "qemu-xhci,id=usb", ...disks],
      ...["-netdev", `tap,id=rack,ifname=${this.#tap},script=no,downscript=no`],
      ...["-device", "virtio-net-pci,netdev=rack,mac=52:54:00:16:00:01,romfile="],
      ...["-device", "virtio-rng-pci", "-device", "i6300esb"],
      // A restart is the boot loader's again, which stands outside.
      ...["-action", "watchdog=reset,reboot=shutdown"],
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
    socket.on("data", (chunk: string) => {
      this.uart.append(chunk);
      this.seat.append(chunk);
    });
    socket.on("error", () => undefined);
    this.#unplugged = new Promise((resolve) => socket.once("close", resolve));
    return socket;
  }
}

function devicesOf({ serial, medium }: UsbDisk, index: number) {
  const [node, bridge] = [`disk${index}`, `uas${index}`];
  return {
    medium: { ...medium, "node-name": node },
    bridge: { driver: "usb-uas", id: bridge },
    drive: { driver: "scsi-hd", bus: `${bridge}.0`, drive: node, serial },
  };
}

/** One that is a file, or a stick. */
export function fileDisk(serial: string, filename: string, readOnly = false): UsbDisk {
  return { serial, medium: { driver: "raw", "read-only": readOnly, file: { driver: "file", filename, "read-only": readOnly } } };
}

/** An empty disk of a size that only what is written takes. */
export async function emptyDisk(file: string, size: string): Promise<string> {
  await runOrThrow(["truncate", "-s", "0", file]);
  await runOrThrow(["truncate", "-s", size, file]);
  return file;
}
