import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Board, ensureBoard, SERVING_TIMEOUT_MS } from "../harness/board.ts";
import { Card } from "../harness/card.ts";
import { NetworkNamespace } from "../harness/netns.ts";
import { Resources } from "../harness/resources.ts";

/** A finger on the button of an emulated ARM board: at power-on for somebody who is locked out, and later to shut it down. */
const BUILD = join(import.meta.dirname, "..", "..", "build");
const directory = join(BUILD, "button-test");
/** Of a network that the person cannot reach any more. */
const CONFIG = `network: { interface: eth0, address: 10.99.0.1/24, manage: true, vlan: 99 }
dhcp: { range: 10.99.0.100-10.99.0.200 }
machines: { uqbar: { mac: "52:54:00:16:00:10" } }
`;

const resources = new Resources();
let card: Card;
let board: Board;

beforeAll(async () => {
  const parts = await ensureBoard(resources, join(BUILD, "board"), (line) => console.log(line));
  rmSync(directory, { recursive: true, force: true });
  const network = await NetworkNamespace.create(resources, "172.16.0.2");
  card = await Card.flash(directory, parts);
  await card.write("rackboot.yaml", CONFIG);
  board = await Board.install(resources, network, { directory, card });
}, 1_500_000);

afterAll(async () => {
  await resources.close();
});

test("held at power-on, it leads to factory network settings and a console, whatever the card says", async () => {
  await board.powerOn({ held: true });
  await board.waitFor(/recovery: factory network settings, and the password is to be set anew/);
  await board.letGo();
  await board.shows(/^.*172\.16\.0\.1\/24.*> +1 {2}Answer the questions/s, SERVING_TIMEOUT_MS);
  board.type("2\r");
  await board.shows(/^Menu.*Machines: 0.*Shell/s);
  expect(await card.read("rackboot.yaml")).toBe(CONFIG);
});

test("held for three seconds, it shuts the board down in good order", async () => {
  await board.hold();
  expect(await board.end()).toBe("shutdown");
});
