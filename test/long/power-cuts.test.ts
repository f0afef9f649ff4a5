import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ensureGuest } from "../harness/guest.ts";
import { type RackMachine, TestRack } from "../harness/rack.ts";
import { Resources } from "../harness/resources.ts";
import { amount, record } from "./record.ts";

const UQBAR: RackMachine = { name: "uqbar", number: 16, firmware: "uefi", network: "dhclient" };
const resources = new Resources();

afterAll(async () => {
  await resources.close();
});

test("a machine whose power is cut while it writes boots every time, with everything that it had synced", async () => {
  const cuts = amount("POWER_CUTS", 20);
  const directory = join(import.meta.dirname, "..", "..", "build", "long-power-cuts");
  const rack = await TestRack.start(resources, { directory, guest: await ensureGuest((line) => console.log(line)), machines: [UQBAR] });
  const uqbar = rack.machine("uqbar");
  await uqbar.powerOn();
  await uqbar.waitUntilUp();
  let acknowledgedWrites = 0;
  for (let cut = 1; cut <= cuts; cut++) {
    const before = uqbar.console.text.length;
    await uqbar.shellInBackground(
      "rm -f /root/journal; n=0; while n=$((n+1)); do head -c 64k /dev/urandom >/root/noise; echo $n >>/root/journal; sync /root/journal; echo kept $n. >/dev/ttyS0; done",
    );
    await uqbar.waitFor(new RegExp(`kept ${5 + ((cut * 7) % 40)}\\.`));
    await uqbar.cutPower();
    const counts = [...uqbar.console.text.slice(before).matchAll(/kept (\d+)\./g)].map(([, count]) => Number(count));
    const acknowledged = Math.max(0, ...counts);
    acknowledgedWrites += acknowledged;
    await uqbar.powerOn();
    expect(await uqbar.waitUntilUp()).toMatchObject({ boot: cut + 1 });
    const [last = 0] = (await uqbar.shell("tail -n 1 /root/journal")).stdout.split("\n").map(Number);
    expect(last).toBeGreaterThanOrEqual(acknowledged);
    record("power-cuts", { cuts: cut, acknowledgedWrites, lost: 0 });
  }
});
