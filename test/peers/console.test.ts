import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Daemon, RACKBOOT } from "../harness/daemon.ts";
import { NetworkNamespace } from "../harness/netns.ts";
import type { BackgroundProcess } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { Seat } from "../harness/seat.ts";

const SOON_MS = 20_000;
const RACK = `network: { interface: lo, address: 127.0.0.1/8 }
dhcp: { mode: "off" }
tftp: { port: 0 }
http: { port: 0 }
iscsi: { port: 0 }
storage: { path: ./data }
volumes: { golden: { size: 40G } }
machines:
  uqbar: { mac: 52:54:00:16:00:10, address: 127.0.0.16, disks: [golden] }
`;

/** A serial cable between a pty and a terminal at which a person sits. */
class Cable {
  readonly seat: Seat = new Seat((text) => this.#socat.stdin.write(text, "latin1"));
  readonly #socat: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<unknown>;
  /** Who reads the line beside the terminal. */
  #taker: Writable | undefined;

  constructor(resources: Resources, device: string) {
    const args = ["--pdeathsig", "KILL", "--", "socat", "STDIO", `PTY,link=${device},raw,echo=0`];
    this.#socat = spawn("setpriv", args, { stdio: ["pipe", "pipe", "ignore"] });
    this.#ended = once(this.#socat, "exit");
    this.#socat.stdin.on("error", () => undefined);
    this.#socat.stdout.on("data", (octets: Buffer) => {
      this.seat.append(octets);
      this.#taker?.write(octets);
    });
    resources.defer("cable", () => this.pull());
  }

  type(text: string): void {
    this.seat.type(text);
  }

  shows(wanted: RegExp): Promise<string> {
    return this.seat.shows(wanted);
  }

  /** A program of the terminal transfers files over the line; resolves to its exit code. The person still sees what comes. */
  async transfer(program: string, args: readonly string[], cwd: string): Promise<number> {
    const child = spawn(program, args, { cwd, stdio: ["pipe", "pipe", "ignore"] });
    child.stdin.on("error", () => undefined);
    child.stdout.on("data", (octets: Buffer) => this.#socat.stdin.write(octets));
    this.#taker = child.stdin;
    const [code] = (await once(child, "close")) as [number];
    this.#taker = undefined;
    return code;
  }

  /** Nothing goes either way. */
  stall(): void {
    this.#socat.kill("SIGSTOP");
  }

  goOn(): void {
    this.#socat.kill("SIGCONT");
  }

  /** The pty is gone, as an adapter that is unplugged. */
  async pull(): Promise<void> {
    this.goOn();
    this.#socat.kill("SIGTERM");
    await this.#ended;
  }
}

let resources: Resources;
let namespace: NetworkNamespace;
let folder: string;
let device: string;
let files: { readonly config: string; readonly socket: string };

beforeEach(async () => {
  resources = new Resources();
  folder = mkdtempSync(join(tmpdir(), "rackboot-console-"));
  resources.defer("folder", () => rmSync(folder, { recursive: true }));
  files = { config: join(folder, "rackboot.yaml"), socket: join(folder, "control.sock") };
  device = join(folder, "tty");
  writeFileSync(files.config, RACK);
  namespace = await NetworkNamespace.create(resources);
});
afterEach(() => resources.close());

function startConsole(): BackgroundProcess {
  const command = [
    process.execPath,
    "--no-warnings",
    RACKBOOT,
    "console",
    "--device",
    device,
    "--socket",
    files.socket,
    "--login",
    "/bin/sh",
  ];
  return namespace.start(resources, command);
}

describe("a person at the serial line", () => {
  it("adds a machine, deletes nothing by half a word, and makes a volume, over a line with noise", async () => {
    await Daemon.start(resources, namespace, files);
    const cable = new Cable(resources, device);
    startConsole();
    await cable.shows(/ > +1 {2}Status/);
    cable.type("\u00ff\u0080\u001b[9;9;9zgarbage");
    cable.type("2\r");
    // Its title stands before what it lists.
    await cable.shows(/^Machines.*1 {2}Add a machine/s);
    cable.type("1\r");
    await cable.shows(/^Add a machine/);
    cable.type("tlon\r52:54:00:16:00:11\r127.0.0.17\r\u001b[C\r\rgolden\r");
    await cable.shows(/tlon is added/);
    expect(readFileSync(files.config, "utf8")).toMatch(/tlon:\s*\n?.*52:54:00:16:00:11/s);
    cable.type("\u001b");
    await cable.shows(/Machines: 2,/);
    cable.type("3\r");
    await cable.shows(/Create a volume/);
    cable.type("1\rscratch\r\u00152G\r");
    await cable.shows(/scratch is created, 2G/);
    cable.type("\u001bOB\u001bOB\r");
    await cable.shows(/^Volume /);
  });

  it("sees the menu again after the cable was out, without a restart", async () => {
    await Daemon.start(resources, namespace, files);
    const first = new Cable(resources, device);
    const running = startConsole();
    await first.shows(/ > +1 {2}Status/);
    first.type("3\r");
    await first.shows(/Create a volume/);
    await first.pull();
    await running.output.waitFor(/console: .*tty/, SOON_MS);
    const second = new Cable(resources, device);
    await second.shows(/^Menu.* 1 {2}Status/s);
    expect(running.running).toBe(true);
  });

  it("is told when the daemon has gone, gets a login then, and the menu when it is back", async () => {
    const daemon = await Daemon.start(resources, namespace, files);
    const cable = new Cable(resources, device);
    startConsole();
    await cable.shows(/ > +1 {2}Status/);
    await daemon.kill();
    await cable.shows(/THE DAEMON DOES NOT ANSWER/);
    cable.type("\u0003");
    // What is typed before the shell has the line is nobody's.
    await cable.shows(/Log in; when you log out.*[#$]/s);
    cable.type("echo $((6 * 7)) is the answer\r");
    await cable.shows(/42 is the answer/);
    cable.type("exit\r");
    await cable.shows(/THE DAEMON DOES NOT ANSWER/);
    await Daemon.start(resources, namespace, files);
    await cable.shows(/ > +1 {2}Status/);
  });

  it("restores a configuration by pasting it; a bad one is explained and changes nothing", async () => {
    await Daemon.start(resources, namespace, files);
    const cable = new Cable(resources, device);
    startConsole();
    await cable.shows(/ > +1 {2}Status/);
    cable.type("10\r");
    await cable.shows(/^Back up and restore/);
    cable.type("3\r");
    await cable.shows(/Paste the whole/);
    cable.type(`${RACK.replace("golden: { size: 40G }", "golden: { size: much }").replaceAll("\n", "\r")}.\r`);
    await cable.shows(/^Back up and restore.*size: found\s+much/s);
    expect(readFileSync(files.config, "utf8")).toBe(RACK);
    cable.type("3\r");
    await cable.shows(/Paste the whole/);
    cable.type(`${RACK.replaceAll("uqbar", "orbis").replaceAll("\n", "\r")}.\r`);
    await cable.shows(/The configuration is in force/);
    expect(readFileSync(files.config, "utf8")).toBe(RACK.replaceAll("uqbar", "orbis"));
  });
});

describe("a file transfer over the line (zmodem)", () => {
  const RESTORED = RACK.replaceAll("uqbar", "orbis");

  async function toBackup(): Promise<Cable> {
    await Daemon.start(resources, namespace, files);
    const cable = new Cable(resources, device);
    startConsole();
    await cable.shows(/ > +1 {2}Status/);
    cable.type("10\r");
    await cable.shows(/^Back up and restore/);
    return cable;
  }

  it("brings the configuration to the person's laptop", async () => {
    const cable = await toBackup();
    const laptop = join(folder, "laptop");
    mkdirSync(laptop);
    cable.type("2\r");
    await cable.shows(/Start your terminal's zmodem receive now/);
    const received = cable.transfer("rz", ["-b", "-q"], laptop);
    await cable.shows(/rackboot\.yaml was sent/);
    // A pty loses the last two octets of sz, so that rz goes on asking for a while: that is nobody's choice in the menu.
    expect(await received).toBe(0);
    await cable.shows(/^Back up and restore/);
    expect(readFileSync(join(laptop, "rackboot.yaml"), "utf8")).toBe(RACK);
  });

  it("brings a configuration back, whatever it is called there, and asks before it takes the place of what runs", async () => {
    const cable = await toBackup();
    writeFileSync(join(folder, "rack of last week.txt"), RESTORED);
    cable.type("4\r");
    await cable.shows(/Send rackboot\.yaml with your terminal's zmodem now/);
    expect(await cable.transfer("sz", ["-b", "-q", "rack of last week.txt"], folder)).toBe(0);
    await cable.shows(/Type restore to go on/);
    expect(readFileSync(files.config, "utf8")).toBe(RACK);
    cable.type("restore\r");
    await cable.shows(/The configuration is in force/);
    expect(readFileSync(files.config, "utf8")).toBe(RESTORED);
  });

  it("that is called off changes nothing, and the menu is there again", async () => {
    const cable = await toBackup();
    cable.type("4\r");
    await cable.shows(/Send rackboot\.yaml with your terminal's zmodem now/);
    // Five CAN end a session of ZMODEM (Forsberg, "The ZMODEM Inter Application File Transfer Protocol", 8.1).
    cable.type("\u0018".repeat(8));
    await cable.shows(/^Back up and restore.*Nothing was received/s);
    expect(readFileSync(files.config, "utf8")).toBe(RACK);
  });
});

describe("a terminal that takes nothing", () => {
  it("holds nobody up: the daemon answers, the console stays small, and the page is whole when it reads again", async () => {
    const daemon = await Daemon.start(resources, namespace, files);
    const cable = new Cable(resources, device);
    const running = startConsole();
    await cable.shows(/ > +1 {2}Status/);
    cable.stall();
    for (let index = 0; index < 200; index++) cable.type("\f\u001b[B\u001b[A");
    await sleep(3000);
    expect((await daemon.status()).state.daemon.phase).toBe("ready");
    expect(running.running).toBe(true);
    cable.goOn();
    cable.type("1\r");
    await cable.shows(/^Status/);
  });
});
