import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { stringify } from "yaml";
import { copyDisk, ensureGuest } from "../harness/guest.ts";
import { loaderDisk } from "../harness/loader-disk.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { Resources } from "../harness/resources.ts";
import { record } from "./record.ts";

/**
 * iPXE attaches the machine's first disk with CHAP and starts the boot loader that is on it. The kernel that this loader
 * starts from the same disk finds its root through the iBFT, and no secret is on its command line.
 */

const SECRET = "correct-horse-battery";
const KERNEL_LINE =
  "root=LABEL=rackboot-guest rw console=ttyS0 rd.iscsi.firmware=1 rd.iscsi.initiator=iqn.2026-01.lan.rackboot:initiator.uqbar ip=dhcp rd.neednet=1";

const came: Record<string, string> = {};
let resources = new Resources();

afterEach(async () => {
  await resources.close();
  resources = new Resources();
});

test.each(["uefi", "bios"] as const)(
  "a %s machine boots the loader that is on its disk, and finds its root through the iBFT",
  async (firmware) => {
    const directory = emptyDirectory(`sanboot-${firmware}`);
    const guest = await ensureGuest((line) => console.log(line));
    const root = join(directory, "root.raw");
    await copyDisk(guest, root);
    const secrets = join(directory, "secrets.yaml");
    writeFileSync(secrets, stringify({ uqbar: { user: "uqbar", secret: SECRET } }), { mode: 0o600 });
    const disks = [{ file: await loaderDisk(directory, guest, KERNEL_LINE) }, { file: root }];
    const machine = { chap: true, disks, boot: { disk: { via: "sanboot" } } };
    const rack = await LoneMachine.start(resources, { directory, firmware, machine, config: { iscsi: { secrets } } });
    const { uqbar, daemon } = rack;
    await uqbar.powerOn();
    await uqbar.waitFor(/the loader on the disk runs/);
    expect(await uqbar.waitUntilUp()).toEqual({ hostname: "uqbar", boot: 1 });
    await uqbar.waitFor(/uqbar login:/);
    expect((await uqbar.shell("ls /sys/firmware/ibft")).stdout).toContain("target0");
    expect(await rack.kernelLine()).not.toContain(SECRET);
    expect(daemon.log).not.toContain(SECRET);
    came[firmware] = `login with Linux ${await rack.kernel()}`;
    record("sanboot", came);
  },
);
