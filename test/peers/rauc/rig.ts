import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Card } from "../../../board/update/card.ts";
import type { SlotName } from "../../../board/update/slots.ts";

const TEMPLATE = new URL("../../../firmware/board/rauc/system.conf.in", import.meta.url);
const BACKEND = new URL("backend.ts", import.meta.url).pathname;

/** A bus of our own, so that nobody else's is asked. */
const BUS = (socket: string): string => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=${socket}</listen><auth>EXTERNAL</auth><policy context="default">
<allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>`;

export interface Key {
  readonly certificate: string;
  readonly key: string;
}

/**
 * The real RAUC over slots that are files, with the configuration that the image has and the backend that the board has. Debian's RAUC
 * wants a D-Bus service between; the board's is built without.
 */
export class RaucRig {
  readonly folder: string = mkdtempSync(join(tmpdir(), "rackboot-rauc-"));
  readonly configuration: string = join(this.folder, "system.conf");
  readonly statusFile: string = join(this.folder, "rauc.status");
  readonly ours: Key;
  readonly #processes: ChildProcess[] = [];

  constructor() {
    this.ours = this.key("ours");
    for (const slot of ["boot-a", "boot-b", "root-a", "root-b"]) {
      writeFileSync(this.path(slot), "");
      truncateSync(this.path(slot), 8 << 20);
    }
    writeFileSync(this.path("backend"), `#!/bin/sh\nexec '${process.execPath}' '${BACKEND}' '${this.folder}' "$@"\n`);
    chmodSync(this.path("backend"), 0o755);
    const text = readFileSync(TEMPLATE, "utf8")
      .replaceAll("@BOARD@", "rpi4")
      .replaceAll("@STATE@", this.folder)
      .replaceAll("@DEVICES@", this.folder)
      .replace("/usr/lib/rackboot/slot-backend", this.path("backend"))
      .replace("/etc/rauc/keyring.pem", this.ours.certificate)
      .replace("/run/rauc", this.path("mounts"));
    writeFileSync(this.configuration, text);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  card(running: SlotName): Card {
    return new Card(
      {
        bootPartitions: { a: 2, b: 3 },
        bootConfigFolder: this.folder,
        stateFolder: this.folder,
        dataFolder: "/data",
        dataLabel: "RACKBOOT",
      },
      running,
    );
  }

  key(name: string): Key {
    const made = { certificate: this.path(`${name}.pem`), key: this.path(`${name}.key`) };
    const subject = ["-subj", `/CN=${name}`, "-days", "30", "-newkey", "rsa:2048", "-nodes", "-keyout", made.key, "-out", made.certificate];
    execFileSync("openssl", ["req", "-x509", ...subject], { stdio: "ignore" });
    return made;
  }

  /** Signs a bundle with random images; returns its path. */
  bundle(name: string, version: string, { board = "rpi4", key = this.ours }: { readonly board?: string; readonly key?: Key } = {}): string {
    const content = this.path(`${name}.d`);
    mkdirSync(content);
    writeFileSync(join(content, "root.img"), randomBytes(3 << 20));
    writeFileSync(join(content, "boot.img"), randomBytes(1 << 20));
    writeFileSync(
      join(content, "manifest.raucm"),
      `[update]\ncompatible=rackboot-${board}\nversion=${version}\n\n[bundle]\nformat=plain\n\n[image.root]\nfilename=root.img\n\n[image.boot]\nfilename=boot.img\n`,
    );
    const file = this.path(`${name}.raucb`);
    execFileSync("rauc", ["bundle", `--cert=${key.certificate}`, `--key=${key.key}`, content, file], { stdio: "ignore" });
    return file;
  }

  /** Whether the slots begin with what the bundle holds. */
  holds(slot: SlotName, bundle: string): boolean {
    return ["root", "boot"].every((kind) => {
      const image = readFileSync(join(bundle.replace(/\.raucb$/, ".d"), `${kind}.img`));
      return readFileSync(this.path(`${kind}-${slot}`))
        .subarray(0, image.length)
        .equals(image);
    });
  }

  /** RAUC as it runs after a start of this slot. */
  async start(running: SlotName): Promise<void> {
    await this.stop();
    writeFileSync(this.path("running"), running);
    const socket = this.path("bus");
    rmSync(socket, { force: true });
    writeFileSync(this.path("bus.conf"), BUS(socket));
    process.env["DBUS_SYSTEM_BUS_ADDRESS"] = `unix:path=${socket}`;
    this.#run("dbus-daemon", [`--config-file=${this.path("bus.conf")}`, "--nofork", "--nopidfile"]);
    while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#run("rauc", ["--conf", this.configuration, `--override-boot-slot=${running}`, "service"]);
    // The service has its name on the bus as soon as it answers.
    while (!this.#answers()) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  #answers(): boolean {
    try {
      execFileSync("rauc", ["--conf", this.configuration, "status"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  }

  #run(program: string, parameters: readonly string[]): void {
    this.#processes.push(spawn(program, parameters, { stdio: "ignore" }));
  }

  /** A bus that ends removes its socket, so it has to have ended before the next one begins. */
  async stop(): Promise<void> {
    for (const child of this.#processes.splice(0)) {
      const ended = once(child, "exit");
      if (child.kill()) await ended;
    }
  }

  async remove(): Promise<void> {
    await this.stop();
    delete process.env["DBUS_SYSTEM_BUS_ADDRESS"];
    rmSync(this.folder, { recursive: true, force: true });
  }
}
