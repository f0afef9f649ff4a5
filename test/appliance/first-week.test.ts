import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Board, emptyDisk, ensureBoard, SERVING_TIMEOUT_MS } from "../harness/board.ts";
import { Card } from "../harness/card.ts";
import { lampsShow } from "../harness/lamp-watch.ts";
import { BRIDGE, NetworkNamespace } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { VolatileDisk } from "../harness/volatile-disk.ts";
import { DiskClient } from "../peers/disk-client.ts";
import { fillOrigin, NumberedWriter } from "../peers/numbered-writes.ts";

/**
 * The appliance as a thing: an emulated ARM board with the image's own init scripts and daemon, its card, a serial line at which a
 * person sits, and its lamps. A start takes a while under software emulation, so each test goes on where the one before stopped.
 */
const BUILD = join(import.meta.dirname, "..", "..", "build");
const directory = join(BUILD, "board-test");
const SCREENS = join(import.meta.dirname, "screens");
const SERIAL = "S5TXNS0R";
const PASSWORD = "tlon-uqbar-1940";
/** Machines that only want an address. */
const DISKLESS = { tlon: "52:54:00:16:00:21", orbis: "52:54:00:16:00:22" };
/** A port of the switch at which they are plugged in. */
const PORT = "guest0";
const DISK_SIZE = "16M";
/** Writes that the power is cut under. */
const ENOUGH_WRITES = 100;
/** By the board's clock: a minute until the supervisor kills the daemon, and a minute of the next one. */
const HANGS_FOR_S = 120;
const LOOK_EVERY_MS = 250;
const DRAWN_AFTER_LOOKS = 40;

const resources = new Resources();
const writer = new NumberedWriter("uqbar", "flush");
let card: Card;
let board: Board;
let network: NetworkNamespace;
let ssd: VolatileDisk;
let portal: string;

beforeAll(async () => {
  const parts = await ensureBoard(resources, join(BUILD, "board"), (line) => console.log(line));
  rmSync(directory, { recursive: true, force: true });
  network = await NetworkNamespace.create(resources, "172.16.0.2");
  card = await Card.flash(directory, parts);
  board = await Board.install(resources, network, { directory, card });
  ssd = await VolatileDisk.open(resources, {
    image: await emptyDisk(join(directory, "ssd.img"), "8G"),
    socketPath: join(directory, "ssd.sock"),
  });
  for (const words of [`add ${PORT} type veth peer name ${PORT}p`, `set ${PORT}p master ${BRIDGE} up`, `set ${PORT} up`])
    await runOrThrow(["ip", "link", ...words.split(" ")], { prefix: network.prefix });
  portal = await network.relay(resources, "172.16.0.1:3260");
}, 1_500_000);

afterAll(async () => {
  await resources.close();
});

/** The page without what differs from run to run. */
function page(): string {
  const lines = board.seat.screen.replace(/\d\d:\d\d:\d\d/g, "hh:mm:ss").replace(/\b\d+ (?:min|s)\b( \d+ s\b)?/g, "N s");
  return `${lines}\n`;
}

/** A page as a person sees it, kept as a text; it may still be half drawn when its words are there. */
async function keep(name: string, shown: RegExp): Promise<void> {
  await board.shows(shown);
  const file = join(SCREENS, `${name}.txt`);
  const kept = existsSync(file) ? readFileSync(file, "utf8") : undefined;
  for (let looks = 0; looks < DRAWN_AFTER_LOOKS && page() !== kept; looks++) await sleep(LOOK_EVERY_MS);
  await expect(page()).toMatchFileSnapshot(file);
}

/** A machine's disk over iSCSI, as the machine itself would have it. */
function disk(machine: string): Promise<DiskClient> {
  return DiskClient.login(resources, portal, machine, `iqn.2026-01.lan.rackboot:initiator.${machine}`);
}

/** The address that a machine without a reservation is given. */
async function leaseOf(mac: string): Promise<string | undefined> {
  await runOrThrow(["ip", "link", "set", "dev", PORT, "address", mac], { prefix: network.prefix });
  const { stderr, stdout } = await network.run(
    ["busybox", "udhcpc", "-i", PORT, "-n", "-q", "-f", "-t", "10", "-T", "4", "-s", "/bin/true"],
    { timeoutMs: 60_000 },
  );
  return /lease of (\S+) obtained/.exec(stderr + stdout)?.[1];
}

/** At the page of machines; `disk`: what is typed for the fields from the disk on. */
async function addMachine(name: string, mac: string, address: string, disk: string): Promise<void> {
  await board.shows(/^Machines.*1 {2}Add a machine/s);
  board.type("1\r");
  await board.shows(/^Add a machine.*Enter: next/s);
  board.type(`${name}\r${mac}\r${address}\r${disk}\r`);
  await board.shows(new RegExp(`${name} is added`));
}

async function intoShell(): Promise<void> {
  board.type("15\r");
  await board.shows(/^Shell.*Enter: do it/s);
  board.type(`${PASSWORD}\r`);
  await board.shows(/rackboot# *$/m);
}

test("a new board without a disk comes up, its lamps say so, and its console asks four questions", async () => {
  const started = performance.now();
  await board.powerOn();
  await board.shows(/> +1 {2}Answer the questions/, SERVING_TIMEOUT_MS);
  console.log(`from power-on to the first question: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  await lampsShow(board, { ready: 2, rack: "off", disk: "off", fault: 1 });
  await board.shows(/1 ALARM/);
  await keep("welcome", /Ctrl-L: draw again\s*$/);
});

test("a person answers the questions, and formats a disk that was plugged in meanwhile", async () => {
  await board.plug({ serial: SERIAL, medium: { driver: "nbd", server: { type: "unix", path: join(directory, "ssd.sock") } } });
  board.type("1\r");
  await keep("network", /^Question 1 of 4.*Enter: next/s);
  board.type("\r\r\r");
  await board.shows(/^Question 2 of 4.*Enter: next/s);
  board.type("s\r\u0015172.16.0.100-172.16.0.200");
  await keep("dhcp", /172\.16\.0\.200.*Enter: do it/s);
  board.type("\r");
  await keep("disk", /^Question 3 of 4.*sda.*Esc: back/s);
  board.type("2\r");
  await board.shows(/^Format sda.*Enter: do it/s);
  board.type("sda\r");
  await keep("format", /^Format sda.*! .*Enter: do it/s);
  board.type(`\u0015${SERIAL}\r`);
  await board.shows(/^Question 4 of 4.*sda is the data disk/s);
  await lampsShow(board, { ready: 2, disk: "solid", fault: "off" });
  board.type(`${PASSWORD}\r${PASSWORD}`);
  await keep("password", /^Question 4 of 4.*\*{10,}.*\*{10,}.*Enter: do it/s);
  board.type("\r");
  await board.shows(/^Menu.*Machines: 0/s);
  expect(await card.read("rackboot.yaml")).toMatch(/range: 172\.16\.0\.100-172\.16\.0\.200/);
});

test("a machine that is added on the console has its disk at once, and others have their addresses", async () => {
  board.type("2\r");
  await addMachine("uqbar", "52:54:00:16:00:10", "172.16.0.16", `\r\u0015${DISK_SIZE}\r`);
  // Left of "new", the choices begin again at their end: none.
  for (const [name, mac] of Object.entries(DISKLESS)) await addMachine(name, mac, "", "\u001b[D\r\r");
  board.type("\u001b");
  await keep("menu", /^Menu.*No alarms.*Machines: 3.*Shell/s);
  board.type("1\r");
  await keep("status", /^Status.*uqbar.*never booted.*Esc: back/s);
  board.type("\u001b");
  await board.shows(/^Menu/);
  expect(await leaseOf(DISKLESS.tlon)).toBe("172.16.0.100");
  expect(await leaseOf(DISKLESS.orbis)).toBe("172.16.0.101");
  const client = await disk("uqbar");
  await fillOrigin(client);
  await lampsShow(board, { ready: 2, rack: "solid", fault: "off" });
});

test("a power cut in the middle of writes loses nothing that was flushed, and a bad configuration nothing that ran", async () => {
  const client = await disk("uqbar");
  const end = writer.write(client).catch((error: unknown) => error);
  while (writer.acknowledged < ENOUGH_WRITES) expect(await Promise.race([sleep(100), end])).toBeUndefined();
  await board.cutPower();
  const fate = ssd.cutPower();
  console.log(`the SSD lost ${fate.lost} sectors of its cache, and kept ${fate.kept}; ${writer.durable} writes must be found`);
  expect(String(await end)).not.toMatch(/refused/);
  const good = await card.read("rackboot.yaml");
  expect(good).toMatch(/uqbar:/);
  await card.write("rackboot.yaml", good.replace("172.16.0.16", "172.16.0.300"));

  await board.powerOn();
  await board.shows(/^Menu.*ALARM 5.*Machines: 3.*Shell/s, SERVING_TIMEOUT_MS);
  await lampsShow(board, { ready: 2, disk: "solid", fault: 5 });
  await writer.check(await disk("uqbar"));
  // Whoever asks first would be given the first free address, if leases had been forgotten.
  expect(await leaseOf(DISKLESS.orbis)).toBe("172.16.0.101");
  expect(await leaseOf(DISKLESS.tlon)).toBe("172.16.0.100");
  board.type("7\r");
  await keep("alarms", /^Alarms.*172\.16\.0\.300.*Esc: back/s);
  board.type("\u001b");
  await board.shows(/^Menu/);
});

test("a daemon that hangs is told by a light that does not beat, killed, and started again", async () => {
  await intoShell();
  // The supervisor's one child is the daemon. The next one hangs as well for a while: told by the light for long enough to be counted,
  // however fast or slow this machine is.
  const child = "/proc/$(cat /run/rackboot/supervisor.pid)/task/*/children";
  const hang = `for i in $(seq ${HANGS_FOR_S}); do kill -STOP $(cat ${child}); sleep 1; done; kill -CONT $(cat ${child})`;
  const { code, output } = await board.shell(`setsid sh -c '${hang}' >/dev/null 2>&1 &`);
  expect(output).toBe("");
  expect(code).toBe(0);
  board.type("exit\r");
  await keep("no-answer", /THE DAEMON DOES NOT ANSWER.*Ctrl-C: login/s);
  await lampsShow(board, { fault: 6 }, SERVING_TIMEOUT_MS);
  await lampsShow(board, { ready: 2, fault: 5 }, SERVING_TIMEOUT_MS);
  await board.shows(/^Menu.*ALARM 5/s);
});

test("shut down, it goes down in good order, and its disk with it", async () => {
  board.type("14\r");
  await keep("shut-down", /^Shut down.*Yes, shut down.*Esc: back/s);
  board.type("2\r");
  expect(await board.end()).toBe("shutdown");
  ssd.cutPower();
  // A log that is to be replayed first is what a disk has that was not unmounted.
  await runOrThrow(["xfs_repair", "-n", join(directory, "ssd.img")], { timeoutMs: 120_000 });
  expect(await runOrThrow(["xfs_logprint", "-t", join(directory, "ssd.img")])).toMatch(/state: <CLEAN>/);
});
