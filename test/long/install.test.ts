import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { Daemon } from "../harness/daemon.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { QemuMachine } from "../harness/qemu.ts";
import { Resources } from "../harness/resources.ts";
import { record } from "./record.ts";

/** A machine with an empty disk: Debian's own installer installs it, nobody touches a key, and it boots what was installed. */

const MAC = "52:54:00:16:00:10";
/** Beside other work on two cores it takes half of that. */
const INSTALL_TIMEOUT_MS = 5_400_000;
const PASSWORD = "rackboot";
const LOG_PORT = 5140;
/**
 * Debian 13's kernel for virtual machines crashes at times under QEMU 7.2's emulation (flags that nobody has set): with all
 * processor features at both of two boots, with these few at one of two.
 */
const PROCESSOR = "Nehalem";
/**
 * One line after the other instead of windows, and everything else to a file; an emulated kernel that crashes begins anew, as
 * when a person presses the button.
 */
const ARGUMENTS = `console=ttyS0 oops=panic panic=10 DEBIAN_FRONTEND=text log_host=${SERVER_ADDRESS} log_port=${LOG_PORT}`;

/** The archive on the medium is signed by nobody. */
const PROFILE = `d-i debian-installer/allow_unauthenticated boolean true
d-i base-installer/install-recommends boolean false
d-i passwd/root-password password ${PASSWORD}
d-i passwd/root-password-again password ${PASSWORD}
d-i passwd/root-password-crypted password
`;

/** What the console says when a step begins. */
const STEPS: readonly (readonly [name: string, says: RegExp])[] = [
  ["installerHasKernel", /rackboot: starting Linux/],
  ["network", /Configuring the network with DHCP/],
  ["partitioning", /Starting up the partitioner/],
  ["copyingTheSystem", /Installing the system/],
  ["bootLoader", /Installing GRUB boot loader/],
  ["finishing", /Finishing the installation/],
  ["diskBoots", /rackboot: starting Linux/],
  ["login", /uqbar login:/],
];

const directory = join(import.meta.dirname, "..", "..", "build", "install");
const resources = new Resources();
let daemon: Daemon;
let uqbar: QemuMachine;

beforeAll(async () => {
  const script = join(import.meta.dirname, "..", "setup", "installer.sh");
  const medium = (await runOrThrow([script], { timeoutMs: 900_000 })).trim();
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(join(directory, "data", "profiles"), { recursive: true });
  writeFileSync(join(directory, "data", "profiles", "lab.preseed"), PROFILE);
  const config = {
    network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` },
    dhcp: {},
    storage: { path: join(directory, "data") },
    machines: {
      uqbar: {
        mac: MAC,
        address: "172.16.0.16",
        disks: [{ size: "4G" }],
        arguments: ARGUMENTS,
        boot: { install: "debian-13", profile: "lab" },
      },
    },
  };
  const files = { config: join(directory, "rackboot.yaml"), socket: join(directory, "control.sock") };
  writeFileSync(files.config, stringify(config));
  const namespace = await NetworkNamespace.create(resources);
  namespace.start(resources, ["socat", "-u", `UDP-RECV:${LOG_PORT}`, `CREATE:${join(directory, "installer.log")}`]);
  daemon = await Daemon.start(resources, namespace, files);
  expect(await daemon.rackboot("image", "import", medium, "--name", "debian-13")).toMatchObject({ code: 0, stderr: "" });
  uqbar = await QemuMachine.install(resources, namespace, {
    name: "uqbar",
    firmware: "uefi",
    memoryMiB: 2048,
    processor: PROCESSOR,
    mac: MAC,
    directory: join(directory, "uqbar"),
  });
});

afterAll(async () => {
  await resources.close();
});

test("an unattended installer fills an empty disk, and the machine boots from it, with nothing done in between", async () => {
  const began = performance.now();
  const secondsTo: Record<string, number> = {};
  await uqbar.powerOn();
  for (const [step, words] of STEPS) {
    await uqbar.waitFor(words, INSTALL_TIMEOUT_MS);
    secondsTo[step] = Math.round((performance.now() - began) / 1000);
  }
  expect(daemon.log).toContain("uqbar is handed the installer of Debian 13 (image debian-13)");
  expect(daemon.log).toContain("uqbar is installed from image debian-13; it boots its disk from now on");
  expect(daemon.log).toMatch(/uqbar is given .*Linux/);
  uqbar.type("root\n");
  await uqbar.waitFor(/Password:/);
  uqbar.type(`${PASSWORD}\n`);
  await uqbar.waitFor(/root@uqbar/);
  expect((await uqbar.shell("findmnt -no FSTYPE /")).stdout).toContain("ext4");
  expect((await uqbar.shell("cat /sys/class/iscsi_session/session*/targetname")).stdout).toContain("iqn.2026-01.lan.rackboot:uqbar");
  expect((await uqbar.shell("tail -n 3 /etc/iscsi/iscsid.conf")).stdout).toContain("replacement_timeout = 86400");
  record("install", { system: "Debian 13", installer: "debian-installer with live-installer", secondsTo });
});
