import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { NetworkNamespace } from "./netns.ts";
import type { BackgroundProcess, Exit, Result } from "./process.ts";
import type { Resources } from "./resources.ts";
import { Transcript } from "./transcript.ts";

interface Firmware {
  /** OVMF's two flash chips; SeaBIOS, which QEMU starts by itself, has none. */
  readonly flash?: { readonly code: string; readonly variables: string };
  /** Default: a PC. */
  readonly platform?: Platform;
  /** Options of QEMU's machine. */
  readonly machine?: string;
  readonly arguments?: readonly string[];
}

interface Platform {
  readonly program: string;
  readonly machine: string;
  readonly processor: string;
}

const OVMF = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" };

type FirmwareName = "bios" | "uefi" | "uefi-http" | "uefi-secure-boot" | "uefi-arm64";

const FIRMWARES: Readonly<Record<FirmwareName, Firmware>> = {
  /** SeaBIOS with the iPXE ROM that QEMU brings along. */
  bios: { machine: "graphics=off" },
  /** OVMF with its own network stack. */
  uefi: { flash: OVMF },
  /** The same where PXE is switched off in its set-up, so that it boots over HTTP. */
  "uefi-http": { flash: OVMF, arguments: ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=no"] },
  /** With Microsoft's keys enrolled. Its variables are out of reach of whatever runs outside of system management mode. */
  "uefi-secure-boot": {
    flash: { code: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" },
    machine: "smm=on",
    arguments: ["-global", "driver=cfi.pflash01,property=secure,value=on"],
  },
  "uefi-arm64": {
    flash: { code: "/usr/share/AAVMF/AAVMF_CODE.fd", variables: "/usr/share/AAVMF/AAVMF_VARS.fd" },
    platform: { program: "qemu-system-aarch64", machine: "virt", processor: "cortex-a72" },
  },
};

/** From power-on to login, on two busy cores under software emulation. */
export const BOOT_TIMEOUT_MS = 600_000;
const COMMAND_TIMEOUT_MS = 120_000;
const POWER_OFF_TIMEOUT_MS = 180_000;

/**
 * All that QEMU can emulate, but for fast string writes: kernels clear pages with them octet by octet, and where a page held code
 * that was run, the emulator takes a lock for each. Two processors of a guest on a busy machine were seen to stand still for minutes.
 */
export const PROCESSOR = "max,erms=off,fsrm=off";
const PC: Platform = { program: "qemu-system-x86_64", machine: "q35", processor: PROCESSOR };

export interface QemuOptions {
  readonly name: string;
  readonly mac: string;
  readonly uuid?: string;
  readonly firmware: FirmwareName;
  readonly memoryMiB?: number;
  /** QEMU's name of a processor; default: the platform's, on a PC {@link PROCESSOR}. */
  readonly processor?: string;
  /** Keeps the firmware's variables, the console's socket and its log; made when missing. */
  readonly directory: string;
}

/** A machine without a disk in a namespace's switch: power button, power cord and serial console. */
export class QemuMachine {
  readonly name: string;
  /** Everything it said on its serial console, over all boots. */
  readonly console: Transcript = new Transcript();
  readonly #resources: Resources;
  readonly #namespace: NetworkNamespace;
  readonly #options: QemuOptions;
  readonly #tap: string;
  #process: BackgroundProcess | undefined;
  #socket: Socket | undefined;
  readonly #listeners = new Set<(chunk: string) => void>();
  #commands = 0;
  #shellReady = false;

  private constructor(resources: Resources, namespace: NetworkNamespace, options: QemuOptions, tap: string) {
    this.name = options.name;
    this.#resources = resources;
    this.#namespace = namespace;
    this.#options = options;
    this.#tap = tap;
  }

  /** Puts it into the rack: it has a cable, and no power yet. */
  static async install(resources: Resources, namespace: NetworkNamespace, options: QemuOptions): Promise<QemuMachine> {
    mkdirSync(options.directory, { recursive: true });
    const variables = join(options.directory, "variables.fd");
    const { flash } = FIRMWARES[options.firmware];
    if (flash !== undefined && !existsSync(variables)) copyFileSync(flash.variables, variables);
    return new QemuMachine(resources, namespace, options, await namespace.addTap());
  }

  get consoleLog(): string {
    return join(this.#options.directory, "console.log");
  }

  async powerOn(): Promise<void> {
    if (this.#process?.running) throw new Error(`${this.name} is on already`);
    const socketPath = join(this.#options.directory, "console.sock");
    this.#shellReady = false;
    this.console.skip();
    this.#process = this.#namespace.start(this.#resources, this.#commandLine(socketPath));
    this.#socket = await this.#connect(socketPath, this.#process);
  }

  /** Waits for words on the serial console behind those that were waited for before. */
  waitFor(pattern: RegExp, timeoutMs: number = BOOT_TIMEOUT_MS): Promise<RegExpExecArray> {
    return this.console.waitFor(pattern, timeoutMs, this.off());
  }

  /** Resolves, with words for a message, when the machine has no power any more. */
  async off(): Promise<string> {
    if (this.#process !== undefined) await this.#process.exited;
    return `${this.name} was off`;
  }

  /** The guest says so itself, with the host name it has and how often its disk has been booted. */
  async waitUntilUp(timeoutMs: number = BOOT_TIMEOUT_MS): Promise<{ readonly hostname: string; readonly boot: number }> {
    const [, hostname = "", boot = ""] = await this.waitFor(/rackboot-guest: up (\S+) boot (\d+)/, timeoutMs);
    return { hostname, boot: Number(boot) };
  }

  /** Hears what the console says, with its control sequences; call what is returned to stop. */
  onOutput(listener: (chunk: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  type(text: string): void {
    this.#socket?.write(text);
  }

  /** Runs a command in the shell on the guest's console. Its output and its errors come as one text. */
  async shell(command: string, timeoutMs: number = COMMAND_TIMEOUT_MS): Promise<Result> {
    if (!this.#shellReady) await this.#readyShell();
    const id = ++this.#commands;
    // The words of the markers are joined by the shell, so that an echo of the line is not taken for its answer.
    this.type(`echo "<<"${id}; { ${command}\n} 2>&1 </dev/null; echo ">>"${id}:$?\n`);
    await this.waitFor(new RegExp(`<<${id}\n`), COMMAND_TIMEOUT_MS);
    const [, stdout = "", code = ""] = await this.waitFor(new RegExp(`^([^]*?)>>${id}:(\\d+)\n`), timeoutMs);
    return { code: Number(code), stdout, stderr: "" };
  }

  /** Starts a command there and does not wait for it. */
  async shellInBackground(command: string): Promise<void> {
    await this.shell(`{ ${command}; } >/dev/null 2>&1 &`);
  }

  /** As if the cord were pulled: not a byte more leaves this machine. */
  async cutPower(): Promise<void> {
    await this.#process?.stop("SIGKILL");
    this.#socket?.destroy();
  }

  /** Shuts the guest down in good order and waits until the machine is off. */
  async powerOff(): Promise<Exit> {
    if (this.#process === undefined) throw new Error(`${this.name} is off already`);
    if (!this.#shellReady) await this.#readyShell();
    this.type("poweroff\n");
    const timer = setTimeout(() => this.#process?.signal("SIGKILL"), POWER_OFF_TIMEOUT_MS);
    const exit = await this.#process.exited;
    clearTimeout(timer);
    this.#socket?.destroy();
    return exit;
  }

  /** A plain shell without line editing and echo, on the terminal where root is logged in already. */
  async #readyShell(): Promise<void> {
    this.type("\nexec sh\n");
    await sleep(1000);
    this.type('stty -echo; dmesg -n 1; PS1= PS2=; export PAGER=cat SYSTEMD_PAGER=; echo "shell"-ready\n');
    await this.waitFor(/shell-ready\n/, COMMAND_TIMEOUT_MS);
    this.#shellReady = true;
  }

  #commandLine(socketPath: string): string[] {
    const { name, mac, uuid, firmware, memoryMiB = 1024, directory } = this.#options;
    const { flash, platform = PC, machine, arguments: more = [] } = FIRMWARES[firmware];
    const { processor = platform.processor } = this.#options;
    const variables = join(directory, "variables.fd");
    const pflash = flash && [
      ...["-drive", `if=pflash,format=raw,unit=0,readonly=on,file=${flash.code}`],
      ...["-drive", `if=pflash,format=raw,unit=1,file=${variables}`],
    ];
    return [
      platform.program,
      ...[
        "-name",
        name,
        "-machine",
        [platform.machine, ...(machine === undefined ? [] : [machine])].join(","),
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        processor,
        "-smp",
        "2",
        "-m",
        String(memoryMiB),
      ],
      ...(uuid === undefined ? [] : ["-uuid", uuid]),
      ...(pflash ?? []),
      ...more,
      ...["-netdev", `tap,id=rack,ifname=${this.#tap},script=no,downscript=no`],
      // Without an option ROM OVMF drives the card itself, which is what most machines' firmware does.
      ...["-device", `virtio-net-pci,netdev=rack,mac=${mac},bootindex=1${flash === undefined ? "" : ",romfile="}`],
      ...["-device", "virtio-rng-pci", "-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none"],
      ...["-chardev", `socket,id=console,path=${socketPath},server=on,wait=off,logfile=${this.consoleLog},logappend=on`],
      ...["-serial", "chardev:console"],
    ];
  }

  async #connect(path: string, machine: BackgroundProcess): Promise<Socket> {
    for (let attempt = 0; attempt < 100 && machine.running; attempt++) {
      const socket = connect(path);
      const connected = await new Promise<boolean>((resolve) => {
        socket.once("connect", () => resolve(true));
        socket.once("error", () => resolve(false));
      });
      if (connected) {
        socket.setEncoding("utf8");
        socket.on("data", (chunk: string) => {
          this.console.append(chunk);
          for (const listener of this.#listeners) listener(chunk);
        });
        socket.on("error", () => undefined);
        return socket;
      }
      await sleep(100);
    }
    throw new Error(`${this.name} did not start: ${machine.output.tail()}`);
  }
}
