import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { Daemon } from "../harness/daemon.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { runOrThrow } from "../harness/process.ts";
import { QemuMachine } from "../harness/qemu.ts";
import { Resources } from "../harness/resources.ts";

/** A machine with an empty disk: Debian's own installer installs it, nobody touches a key, and it boots what was installed. */

const MAC = "52:54:00:16:00:10";
/** Alone on two cores half an hour; beside other work twice that. */
const INSTALL_TIMEOUT_MS = 6_600_000;
const PASSWORD = "rackboot";

/** The archive on the medium is signed by nobody, and its kernel for virtual machines is small. */
const PROFILE = `d-i debian-installer/allow_unauthenticated boolean true
d-i base-installer/kernel/image string linux-image-cloud-amd64
d-i base-installer/install-recommends boolean false
d-i pkgsel/run_tasksel boolean false
d-i apt-setup/non-free-firmware boolean false
d-i passwd/root-password password ${PASSWORD}
d-i passwd/root-password-again password ${PASSWORD}
d-i passwd/root-password-crypted password
`;

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
        arguments: "console=ttyS0",
        boot: { install: "debian-13", profile: "lab" },
      },
    },
  };
  const files = { config: join(directory, "rackboot.yaml"), socket: join(directory, "control.sock") };
  writeFileSync(files.config, stringify(config));
  const namespace = await NetworkNamespace.create(resources);
  daemon = await Daemon.start(resources, namespace, files);
  expect(await daemon.rackboot("image", "import", medium, "--name", "debian-13")).toMatchObject({ code: 0, stderr: "" });
  uqbar = await QemuMachine.install(resources, namespace, {
    name: "uqbar",
    firmware: "uefi",
    mac: MAC,
    directory: join(directory, "uqbar"),
  });
});

afterAll(async () => {
  await resources.close();
});

test("an unattended installer fills an empty disk, and the machine boots from it, with nothing done in between", async () => {
  await uqbar.powerOn();
  await uqbar.waitFor(/uqbar login:/, INSTALL_TIMEOUT_MS);
  expect(daemon.log).toContain("uqbar is handed the installer of Debian 13 (image debian-13)");
  expect(daemon.log).toContain("uqbar is installed from image debian-13; it boots its disk from now on");
  expect(daemon.log).toMatch(/uqbar is given .*Linux/);
  uqbar.type("root\n");
  await uqbar.waitFor(/Password:/);
  uqbar.type(`${PASSWORD}\n`);
  await uqbar.waitFor(/root@uqbar/);
  expect((await uqbar.shell("findmnt -no FSTYPE /")).stdout).toContain("ext4");
  expect((await uqbar.shell("cat /sys/class/iscsi_session/session*/targetname")).stdout).toContain("iqn.2026-01.lan.rackboot:uqbar");
  const nodes = await uqbar.shell("grep -rh replacement_timeout /etc/iscsi/nodes");
  expect(nodes.stdout).toContain("= 86400");
});
