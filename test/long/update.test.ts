import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Board, type BoardParts, emptyDisk, ensureBoard, fileDisk, SERVING_TIMEOUT_MS } from "../harness/board.ts";
import { Card, cardLayout } from "../harness/card.ts";
import { lampsShow } from "../harness/lamp-watch.ts";
import { runMaker } from "../harness/maker.ts";
import { NetworkNamespace } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { record } from "./record.ts";

/**
 * Updates of the card from power-on to power-on, with the real RAUC on an emulated ARM board and a boot loader that reads nothing but
 * the card. A person brings signed bundles on a USB stick and installs them on the serial line. Each test goes on where the one before
 * stopped.
 */
const BUILD = join(import.meta.dirname, "..", "..", "build");
const directory = join(BUILD, "update-test");
const INSTALL_TIMEOUT_MS = 1_800_000;
const CONFIG = `network: { interface: eth0, address: 172.16.0.1/24, manage: true }
dhcp: { range: 172.16.0.100-172.16.0.200 }
machines: { uqbar: { mac: "52:54:00:16:00:10" } }
`;
/** Files of the root file system that differ from update to update. */
const LAYOUT = "usr/share/rackboot/layout.env";
const PACKAGE = "usr/lib/rackboot/package.json";
const ADDON = "usr/lib/rackboot/dist/src/native/rackboot.node";
/**
 * The image leaves a system that is not READY after three minutes. How fast an emulated board starts is this machine's affair and
 * decides nothing: the update that is to stay has this long, and the one that never gets READY has what the image has.
 */
const PATIENT_SECONDS = 3600;

const resources = new Resources();
const figures: Record<string, number> = {};
let card: Card;
let board: Board;

/** `rackboot-N-qemu-virt.raucb`, as it is called on the stick. */
function bundleName(version: string): string {
  return `rackboot-${version}-qemu-virt.raucb`;
}

beforeAll(async () => {
  const tell = (line: string): void => console.log(line);
  const parts = await ensureBoard(resources, join(BUILD, "board"), tell);
  rmSync(directory, { recursive: true, force: true });
  const network = await NetworkNamespace.create(resources, "172.16.0.2");
  card = await Card.flash(directory, parts);
  await card.write("rackboot.yaml", CONFIG);
  board = await Board.install(resources, network, { directory, card });
  const ssd = await emptyDisk(join(directory, "ssd.img"), "4G");
  await runOrThrow(["mkfs.xfs", "-q", "-m", "reflink=1", "-L", cardLayout()["LABEL_DATA"] ?? "", ssd]);
  await board.plug(fileDisk("SSD", ssd));
  await board.plug(fileDisk("STICK", await stickWithUpdates(parts, tell), true));
}, 1_800_000);

afterAll(async () => {
  await resources.close();
});

/** 2.0.0 is good, 3.0.0 has lost a part that it cannot do without, 6.6.6 is signed by somebody else. */
async function stickWithUpdates(parts: BoardParts, tell: (line: string) => void): Promise<string> {
  const image = (path: string): string => readFileSync(join(parts.folder, "root", path), "utf8");
  const change = (path: string, text: string): string => {
    const file = join(directory, "change");
    writeFileSync(file, text);
    return `${path}=${file}`;
  };
  const update = async (version: string, ...changes: readonly string[]): Promise<string> => {
    const versioned = join(directory, "package.json");
    writeFileSync(versioned, JSON.stringify({ ...JSON.parse(image(PACKAGE)), version }));
    const maker = join(import.meta.dirname, "..", "setup", "board-update.sh");
    return await runMaker(
      resources,
      [maker, parts.folder, join(directory, "update"), version, `${PACKAGE}=${versioned}`, ...changes],
      tell,
    );
  };
  const stick = await emptyDisk(join(directory, "stick.img"), "2G");
  await runOrThrow(["mkfs.vfat", "-n", "UPDATES", stick]);
  const put = (bundle: string): Promise<unknown> => runOrThrow(["mcopy", "-i", stick, bundle, "::"], { timeoutMs: 300_000 });
  await put(await update("2.0.0", change(LAYOUT, image(LAYOUT).replace(/(?<=^UPDATE_READY_SECONDS=).*/m, String(PATIENT_SECONDS)))));
  await put(await update("3.0.0", change(ADDON, "")));
  await put(await foreignBundle(parts));
  return stick;
}

/** Small: what is in it is never looked at. */
async function foreignBundle({ folder }: BoardParts): Promise<string> {
  const theirs = join(directory, "theirs");
  const [certificate, key] = [join(theirs, "certificate.pem"), join(theirs, "key.pem")];
  await runOrThrow(["mkdir", theirs]);
  const subject = ["-subj", "/CN=theirs", "-days", "30", "-newkey", "rsa:3072", "-nodes", "-keyout", key, "-out", certificate];
  await runOrThrow(["openssl", "req", "-x509", ...subject]);
  await runOrThrow(["cp", join(folder, "boot.vfat"), join(theirs, "boot.vfat")]);
  writeFileSync(join(theirs, "rootfs.squashfs"), "theirs".repeat(100_000));
  const script = join(import.meta.dirname, "..", "..", "firmware", "board", "bundle.sh");
  return (await runOrThrow([script, "qemu-virt", "6.6.6", theirs, certificate, key])).trim();
}

async function seconds(name: string, work: () => Promise<unknown>): Promise<void> {
  const startedAtMs = performance.now();
  await work();
  figures[name] = Math.round((performance.now() - startedAtMs) / 100) / 10;
}

/** Of a board that starts; nobody has set a password yet, so that it asks its four questions first. */
async function toMenu(): Promise<void> {
  await board.shows(/Go to the menu without/, SERVING_TIMEOUT_MS);
  board.type("2\r");
  await board.shows(/^Menu.*15 {2}Shell/s);
}

async function toUpdatePage(): Promise<void> {
  board.type("9\r");
  await board.shows(/^Update and roll back.*Esc: back/s);
}

/** At the page of updates: the stick, its bundle of this version, and the word that has to be typed. */
async function installFromStick(version: string): Promise<void> {
  board.type("1\r");
  const listed = await board.shows(/^Install an update from a USB stick.*6\.6\.6/s);
  const [, number] = new RegExp(`(\\d) {2}${bundleName(version)}`).exec(listed) ?? [];
  board.type(`${number}\r`);
  await board.shows(/^Install an update .*Type update to go on/s);
  board.type("update\r");
}

async function intoShell(): Promise<void> {
  board.type("15\r");
  await board.shows(/rackboot# *$/m);
}

/** At the menu, and back there. */
async function inShell(command: string): Promise<{ readonly code: number; readonly output: string }> {
  await intoShell();
  const answer = await board.shell(command, SERVING_TIMEOUT_MS);
  board.type("exit\r");
  await board.shows(/^Menu.*15 {2}Shell/s);
  return answer;
}

/** The stick is mounted by whoever looks at it: the page of updates does. */
const onStick = (version: string): string => `$(ls /run/rackboot/sticks/*/${bundleName(version)})`;

test("a bundle that somebody else signed is refused in one sentence, told by fault 7, and changes nothing", async () => {
  await seconds("powerToMenu", async () => {
    await board.powerOn();
    await toMenu();
  });
  const before = await card.read("autoboot.txt");
  await toUpdatePage();
  await installFromStick("6.6.6");
  await board.shows(/^Install an update .*its\s+signature\s+is\s+not\s+one\s+that\s+this\s+card\s+trusts/s, INSTALL_TIMEOUT_MS);
  board.type("\u001b");
  await board.shows(/^Install an update from a USB stick.*6\.6\.6/s);
  board.type("\u001b");
  await board.shows(/^Update and roll back.*A .*runs now, next start.*B .*empty/s);
  board.type("\u001b");
  await board.shows(/^Menu.*ALARM 7/s);
  await lampsShow(board, { ready: 2, fault: 7 });
  // Without a terminal there is no progress bar among the words.
  const { code, output } = await inShell(`rackboot update ${onStick("6.6.6")} >/tmp/said 2>&1; code=$?; cat /tmp/said; (exit $code)`);
  expect(code).not.toBe(0);
  expect(output.trim().split("\n")).toHaveLength(1);
  expect(output).toMatch(/is not installed: its signature is not one that this card trusts \(.+\); take the bundle from where/);
  expect(await card.read("autoboot.txt")).toBe(before);
  expect(await inShell("rackboot update confirm")).toMatchObject({ code: 0 });
  await lampsShow(board, { ready: 2, fault: "off" });
});

test("a power cut while an update is written leaves the system of before, and a light that says so", async () => {
  await toUpdatePage();
  await installFromStick("2.0.0");
  await board.shows(/Copying\s+image\s+to\s+root\.1/, INSTALL_TIMEOUT_MS);
  await board.cutPower();
  expect(await card.slotToStart(false)).toBe("a");
  expect(await card.slotToStart(true)).toBe("a");
  await board.powerOn();
  await toMenu();
  await board.shows(/^Menu.*ALARM 7/s);
  await lampsShow(board, { ready: 2, fault: 7 });
  await toUpdatePage();
  await board.shows(/A .*good.*runs now, next start.*B .*being written, or cut off while it was/s);
});

test("a good update from a stick is installed while the rack is served, tried once, and stays", async () => {
  await seconds("install", async () => {
    await installFromStick("2.0.0");
    await board.shows(/It is installed\. Start it when it suits the rack\./, INSTALL_TIMEOUT_MS);
  });
  expect(await card.slotToStart(false)).toBe("a");
  board.type("\u001b");
  await board.shows(/^Update and roll back.*B +2\.0\.0 +installed, not started yet/s);
  await lampsShow(board, { ready: 2, fault: "off" });
  await seconds("restartToMenu", async () => {
    board.type("3\r");
    await board.restarts();
    await toMenu();
  });
  await toUpdatePage();
  await board.shows(/A .*good.*B +2\.0\.0 +good +runs now, next start/s, SERVING_TIMEOUT_MS);
  await board.cutPower();
  expect(await card.slotToStart(false)).toBe("b");
  await board.powerOn();
  await toMenu();
  expect((await inShell("rackboot --version; rackboot machine list")).output).toMatch(/2\.0\.0.*uqbar/s);
  await lampsShow(board, { ready: 2, fault: "off" });
});

test("an update that does not get READY is left after three minutes, and the system of before says so with fault 7", async () => {
  await toUpdatePage();
  board.type("1\r");
  await board.shows(/^Install an update from a USB stick.*3\.0\.0/s);
  // Ctrl-C leads to the first page, which asks for a password still.
  board.type("\u0003");
  await toMenu();
  await intoShell();
  board.type(`rackboot update ${onStick("3.0.0")} --restart\r`);
  await board.restarts();
  await seconds("failingToBack", async () => {
    await board.restarts();
    await toMenu();
  });
  const { output } = await inShell("grep -h READY /data/log/*");
  expect(output).toMatch(/the new system did not become READY within 180 s; back to the one before/);
  await lampsShow(board, { ready: 2, fault: 7 });
  await toUpdatePage();
  await board.shows(/A +3\.0\.0 +FAILED: it did not come up.*B +2\.0\.0 +good +runs now, next start/s);
  record("update", {
    place: "appliance in qemu-system-aarch64, by software emulation on the machine below; the real RAUC",
    seconds: figures,
  });
});
