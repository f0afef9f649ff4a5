import { readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { SERVER_ADDRESS } from "./netns.ts";
import { runOrThrow } from "./process.ts";
import type { QemuMachine } from "./qemu.ts";

/** A kernel with fewer drivers than the guest's own: small enough that its initramfs is made in minutes under emulation. */
const KERNEL = "linux-image-6.12-cloud-amd64";
const PACKAGE = "kernel.deb";
const DOWNLOAD_TIMEOUT_MS = 600_000;
/** On two busy cores. */
export const INSTALL_TIMEOUT_MS = 780_000;

/** Puts another kernel's package where machines can get it: `folder` is what all of them may read. */
export async function offerKernel(folder: string): Promise<void> {
  // The package that the name stands for; the one of that name holds nothing else.
  const depends = await runOrThrow(["apt-cache", "depends", "--important", KERNEL]);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`${KERNEL} depends on no kernel; apt knows this:\n${depends}`);
  await runOrThrow(["apt-get", "download", "-qq", "-o", "Acquire::Retries=5", name], { cwd: folder, timeoutMs: DOWNLOAD_TIMEOUT_MS });
  const file = readdirSync(folder).find((each) => each.endsWith(".deb"));
  if (file === undefined) throw new Error(`apt did not download ${name}`);
  renameSync(join(folder, file), join(folder, PACKAGE));
}

/** The running machine installs it with its own package manager. Throws what that said where it failed. */
export async function installKernel(machine: QemuMachine): Promise<void> {
  const download = `/usr/lib/apt/apt-helper download-file http://${SERVER_ADDRESS}/${PACKAGE} /root/${PACKAGE}`;
  const install = `dpkg -i --force-depends /root/${PACKAGE} && ls /boot`;
  const { code, stdout } = await machine.shell(`${download} && ${install}`, INSTALL_TIMEOUT_MS);
  if (code !== 0 || !/initrd\.img-6\.12/.test(stdout)) throw new Error(`The kernel was not installed (exit ${code}):\n${stdout}`);
}
