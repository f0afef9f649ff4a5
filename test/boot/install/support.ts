import type { InstallRequest } from "../../../src/boot/install/request.ts";
import { NO_SNIPPET } from "../../../src/boot/install/snippet.ts";
import type { ImageName } from "../../../src/machine/identifiers.ts";
import type { ImageReport } from "../../../src/machine/image.ts";
import { FACTS, machine } from "../support.ts";

export function rhel(major: number, changes: Partial<ImageReport> = {}): ImageReport {
  return {
    name: `rhel-${major}` as ImageName,
    medium: "iso",
    sizeBytes: 2 ** 33,
    importedMs: 0,
    installer: "anaconda",
    system: "Red Hat Enterprise Linux",
    version: `${major}.1`,
    major,
    architecture: "x64",
    kernel: "images/pxeboot/vmlinuz",
    initrd: "images/pxeboot/initrd.img",
    packages: true,
    verified: 3,
    ...changes,
  };
}

export function debian(changes: Partial<ImageReport> = {}): ImageReport {
  const folder = "debian-installer/amd64";
  const boots = { kernel: `${folder}/linux`, initrd: `${folder}/initrd.gz` };
  return { ...rhel(13), ...boots, installer: "debian-installer", system: "Debian", version: "13", codename: "trixie", ...changes };
}

export const CHAP = { user: "uqbar", secret: 'a "b" c\\d $(reboot) é', mutual: { user: "rack", secret: "another one's secret" } };

export function request(changes: Partial<InstallRequest> = {}): InstallRequest {
  return { machine: machine("uqbar"), image: rhel(9), facts: FACTS, snippet: NO_SNIPPET, token: "t0k3n", ...changes };
}
