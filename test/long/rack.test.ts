import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Board, emptyDisk, ensureBoard, fileDisk, SERVING_TIMEOUT_MS } from "../harness/board.ts";
import { Card, cardLayout } from "../harness/card.ts";
import { ensureGuest } from "../harness/guest.ts";
import { lampsShow } from "../harness/lamp-watch.ts";
import { NetworkNamespace } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { QemuMachine } from "../harness/qemu.ts";
import { Resources } from "../harness/resources.ts";
import { record } from "./record.ts";

/**
 * The picture of the product: an appliance on an emulated ARM board, and a machine without a disk at the same switch, which boots from
 * it to its login. The machine's system comes on a second USB disk, as a person would bring it, and is imported on the serial line. It
 * has kernels and no boot loader: that comes off the card.
 */
const directory = join(import.meta.dirname, "..", "..", "build", "rack-test");
const IMPORT_TIMEOUT_MS = 3_600_000;
const COMMAND_TIMEOUT_MS = 600_000;
const CONFIG = `network: { interface: eth0, address: 172.16.0.1/24, manage: true }
dhcp: { range: 172.16.0.100-172.16.0.200 }
machines: {}
`;

const resources = new Resources();
let network: NetworkNamespace;
let board: Board;
let uqbar: QemuMachine;
let tlon: QemuMachine;
/** The board's root file system, before it was packed. */
let gathered: string;
let powerToServingSeconds = 0;

beforeAll(async () => {
  const tell = (line: string): void => console.log(line);
  const guest = await ensureGuest(tell);
  const parts = await ensureBoard(resources, join(directory, "..", "board"), tell);
  gathered = join(parts.folder, "root");
  rmSync(directory, { recursive: true, force: true });
  network = await NetworkNamespace.create(resources, "172.16.0.2");
  const card = await Card.flash(directory, parts);
  await card.write("rackboot.yaml", CONFIG);
  board = await Board.install(resources, network, { directory, card });
  const ssd = await emptyDisk(join(directory, "ssd.img"), "16G");
  await runOrThrow(["mkfs.xfs", "-q", "-m", "reflink=1", "-L", cardLayout()["LABEL_DATA"] ?? "", ssd]);
  await board.plug(fileDisk("SSD", ssd));
  await board.plug(fileDisk("STICK", guest.seed, true));
  uqbar = await QemuMachine.install(resources, network, {
    name: "uqbar",
    mac: "52:54:00:16:00:10",
    firmware: "uefi",
    directory: join(directory, "uqbar"),
  });
  tlon = await QemuMachine.install(resources, network, {
    name: "tlon",
    mac: "52:54:00:16:00:11",
    firmware: "uefi-arm64",
    directory: join(directory, "tlon"),
  });
}, 1_500_000);

afterAll(async () => {
  await resources.close();
});

async function untilServing(): Promise<void> {
  const deadline = performance.now() + SERVING_TIMEOUT_MS;
  for (;;) {
    const { stdout } = await network.run(["curl", "-sS", "--max-time", "5", "http://172.16.0.1/healthz"]);
    if (/^ok/.test(stdout)) return;
    if (performance.now() > deadline) throw new Error(`The board does not serve (${stdout.trim()}):\n${board.uart.tail(40)}`);
    await sleep(250);
  }
}

/** A board that is starved of processor time looks hung to its supervisor, which starts the daemon again. */
async function carriedOut(command: string, timeoutMs: number = COMMAND_TIMEOUT_MS): Promise<string> {
  await board.shell("until rackboot status >/dev/null 2>&1; do sleep 1; done", COMMAND_TIMEOUT_MS);
  const done = await board.shell(command, timeoutMs);
  expect(done, `${command}: ${done.output}`).toMatchObject({ code: 0 });
  return done.output;
}

/** The SHA-256 of what the board sends. */
async function fetched(url: string): Promise<string> {
  const { stdout } = await network.run(["sh", "-c", `curl -sSf --max-time 300 ${url} | sha256sum`]);
  return stdout.split(" ")[0] ?? "";
}

test("every boot loader on the card reaches a machine whole", async () => {
  const poweredAtMs = performance.now();
  await board.powerOn();
  await untilServing();
  powerToServingSeconds = Math.round((performance.now() - poweredAtMs) / 100) / 10;

  await board.shows(/Go to the menu without/);
  board.type("2\r");
  await board.shows(/15 {2}Shell/);
  board.type("15\r");
  await board.shows(/rackboot# *$/m);

  await carriedOut("rackboot machine add seat --mac 52:54:00:16:00:12 --address 172.16.0.2");
  const loaders = {
    "undionly.kpxe": "ipxe/undionly.kpxe",
    "snponly.efi": "ipxe/snponly.efi",
    "ipxe-arm64.efi": "ipxe/ipxe-arm64.efi",
    "shimx64.efi": "shim/shimx64.efi.signed",
    "grubx64.efi": "grub/x86_64-efi-signed/grubnetx64.efi.signed",
    "shimaa64.efi": "shim/shimaa64.efi.signed",
    "grubaa64.efi": "grub/arm64-efi-signed/grubnetaa64.efi.signed",
  };
  for (const [name, file] of Object.entries(loaders)) {
    const octets = readFileSync(join(gathered, "usr/lib", file));
    const hash = createHash("sha256").update(octets).digest("hex");
    expect(await fetched(`tftp://172.16.0.1/seat/${name}`), name).toBe(hash);
    expect(await fetched(`http://172.16.0.1/seat/${name}`), name).toBe(hash);
  }
});

test("an arm64 machine's firmware gets shim, GRUB and its menu from the card", async () => {
  await carriedOut("rackboot volume create tlon-root 1G");
  await carriedOut("rackboot machine add tlon --mac 52:54:00:16:00:11 --address 172.16.0.17 --disk tlon-root");
  await tlon.powerOn();
  // Its disk is empty, which the menu says.
  await tlon.waitFor(/this is tlon/);
  await tlon.cutPower();
  expect(await carriedOut("rackboot logs -n 1000 | grep 'tlon has'")).toMatch(
    /tlon\/bootaa64\.efi over tftp[\s\S]*tlon\/grubaa64\.efi over tftp[\s\S]*grub\.cfg over tftp/,
  );
});

test("a UEFI machine without a disk boots from an ARM board to its login, by the boot loaders on its card", async () => {
  const stick = "$(grep -q ^/dev/sda /proc/mounts && echo sdb || echo sda)";
  await carriedOut(`rackboot volume import /dev/${stick} golden --format raw`, IMPORT_TIMEOUT_MS);
  await carriedOut("rackboot volume clone golden uqbar-root");
  await carriedOut(
    'rackboot machine add uqbar --mac 52:54:00:16:00:10 --address 172.16.0.16 --disk uqbar-root --arguments "rw console=ttyS0"',
  );

  const startedAtMs = performance.now();
  await uqbar.powerOn();
  await lampsShow(board, { ready: 2, rack: "fast" });
  expect(await uqbar.waitUntilUp()).toMatchObject({ hostname: "uqbar" });
  const loginSeconds = (performance.now() - startedAtMs) / 1000;
  await lampsShow(board, { ready: 2, rack: "solid", fault: "off" });
  expect((await uqbar.shell("hostname; findmnt -no SOURCE /")).stdout).toMatch(/^uqbar\n\/dev\/sda/);
  const log = await carriedOut("rackboot logs -n 1000 | grep -E 'boot(x64|aa64)|grub(x64|aa64)'");
  expect(log).toMatch(/uqbar\/bootx64\.efi over tftp[\s\S]*uqbar\/grubx64\.efi over tftp/);
  record("rack", {
    place: "appliance in qemu-system-aarch64 and machine in qemu-system-x86_64, both by software emulation on the machine below",
    powerToServingSeconds,
    machinePowerToLoginSeconds: Math.round(loginSeconds * 10) / 10,
  });
});
