import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { copyDisk, ensureGuest } from "../harness/guest.ts";
import { emptyDirectory, LoneMachine } from "../harness/lone-machine.ts";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { record } from "./record.ts";

/** A disk that is one ext4 with /boot inside, and of whose two entries one is asked for once, as grub-reboot does it. */

const resources = new Resources();
let rack: LoneMachine;

beforeAll(async () => {
  const directory = emptyDirectory("ext4");
  const disk = join(directory, "uqbar.raw");
  await copyDisk(await ensureGuest((line) => console.log(line)), disk);
  await askForOnce(disk, directory);
  rack = await LoneMachine.start(resources, { directory, machine: { disks: [{ file: disk }], arguments: "rw console=ttyS0" } });
});

afterAll(async () => {
  await resources.close();
});

/** Two entries that a word on the kernel's line tells apart; an environment block that saves the one, and asks for the other once. */
async function askForOnce(disk: string, directory: string): Promise<void> {
  const boot = await runOrThrow(["debugfs", "-R", "ls -p /boot", disk]);
  const version = /\/vmlinuz-([^/]+)\//.exec(boot)?.[1];
  if (version === undefined) throw new Error(`the guest has no kernel in /boot:\n${boot}`);
  const commands = ["mkdir /boot/loader", "mkdir /boot/loader/entries", "mkdir /boot/grub2"];
  const put = (folder: string, name: string, text: string): void => {
    writeFileSync(join(directory, name), text);
    commands.push(`cd ${folder}`, `write ${join(directory, name)} ${name}`);
  };
  for (const which of ["usual", "once"]) {
    const files = [`linux /boot/vmlinuz-${version}`, `initrd /boot/initrd.img-${version}`];
    const lines = [`title Guest (${which})`, ...files, `options root=LABEL=rackboot-guest rackboot.which=${which}`];
    put("/boot/loader/entries", `guest-1-${which}.conf`, `${lines.join("\n")}\n`);
  }
  put("/boot/grub2", "grubenv", "# GRUB Environment Block\nsaved_entry=guest-1-usual\nnext_entry=guest-1-once\n".padEnd(1024, "#"));
  const script = join(directory, "debugfs.commands");
  writeFileSync(script, `${commands.join("\n")}\n`);
  await runOrThrow(["debugfs", "-w", "-f", script, disk]);
}

test("an entry that an ext4 disk asks for once is booted once, although nobody erases the request from the disk", async () => {
  const { uqbar } = rack;
  expect(await rack.bootToLogin()).toBe(1);
  expect(await rack.kernelLine()).toContain("rackboot.which=once");
  expect((await uqbar.shell("findmnt -no SOURCE,FSTYPE /")).stdout).toMatch(/^\/dev\/sda +ext4\n$/);
  await uqbar.powerOff();
  // What was used is remembered on the data disk, and not only by the daemon that handed it out; and an appliance may come up
  // while nobody is at its switch: there is no carrier.
  await rack.restartDaemon(resources);
  expect(await rack.bootToLogin()).toBe(2);
  expect(await rack.kernelLine()).toContain("rackboot.which=usual");
  expect((await uqbar.shell("cat /boot/grub2/grubenv")).stdout).toContain("next_entry=guest-1-once");
  record("next-entry", { fileSystem: "ext4", boots: ["next_entry", "saved_entry"], grubenv: "as it was" });
});
