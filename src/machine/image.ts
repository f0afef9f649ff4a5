import type { ImageName } from "./identifiers.ts";

/** Programs that install, as far as they are led from here: RHEL's and its rebuilds', and Debian's. */
export type Installer = "anaconda" | "debian-installer";

/** What is on an installation medium. Paths are relative to its root, `/` between their parts. */
export interface ImageFacts {
  readonly installer: Installer;
  /** As the medium says it: "Red Hat Enterprise Linux", "Rocky Linux", "Debian". */
  readonly system: string;
  /** `8.10`, `9`, `13`. */
  readonly version: string;
  /** What decides how the installer is spoken to. */
  readonly major: number;
  /** Debian's name of the release. */
  readonly codename?: string;
  readonly architecture: "x64" | "aa64";
  readonly kernel: string;
  readonly initrd: string;
  /** Absent where the medium brings none. */
  readonly shim?: string;
  readonly grub?: string;
  /** The medium has the packages too, and not the installer alone. */
  readonly packages: boolean;
  /** Files whose checksum the medium states, and that have it. */
  readonly verified: number;
}

/** A medium as `rackboot image show` shows it. */
export interface ImageReport extends ImageFacts {
  readonly name: ImageName;
  /** `iso`: one file, served out of its middle; `folder`: the files of a folder. */
  readonly medium: "iso" | "folder";
  readonly sizeBytes: number;
  readonly importedMs: number;
}
