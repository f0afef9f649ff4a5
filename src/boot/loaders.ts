import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { platformWords } from "../machine/boot-words.ts";
import type { FirmwareKind } from "../machine/firmware.ts";
import type { Machine } from "../machine/machine.ts";
import { type Architecture, UKI_NAME } from "./plan.ts";

/** A boot loader of this system, by the name that firmware asks for it by. */
export interface LoaderFile {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
}

/** The network GRUB that Debian's shim accepts; the one on a disk's ESP has no network. */
export const DEBIAN_NETWORK_GRUB: Readonly<Record<string, string>> = {
  "grubx64.efi": "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
  "grubaa64.efi": "/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed",
};

interface Candidate {
  readonly path: string;
  /** Without this file the candidate is of no use. */
  readonly with?: string;
}

const SHIM_X64: Candidate = { path: "/usr/lib/shim/shimx64.efi.signed", with: "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed" };
const GRUB_X64: Candidate = { path: "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed" };
const SHIM_ARM64: Candidate = { path: "/usr/lib/shim/shimaa64.efi.signed", with: "/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed" };
const GRUB_ARM64: Candidate = { path: "/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed" };
const IPXE_UEFI: readonly Candidate[] = [{ path: "/usr/lib/ipxe/snponly.efi" }, { path: "/usr/lib/ipxe/ipxe.efi" }];
const IPXE_ARM64: readonly Candidate[] = [{ path: "/usr/lib/ipxe/snponly-arm64.efi" }, { path: "/usr/lib/ipxe/ipxe-arm64.efi" }];
const IPXE_BIOS: readonly Candidate[] = [{ path: "/usr/lib/ipxe/undionly.kpxe" }, { path: "/usr/lib/ipxe/undionly.kkpxe" }];

/**
 * Where Debian's packages put boot loaders (shim-signed, grub-efi-*-signed, ipxe), best first. shim first: it starts with
 * and without Secure Boot. For HTTP boot iPXE first: Debian's signed GRUB finds no network on an HTTP device path.
 */
const CANDIDATES: Readonly<Record<FirmwareKind, readonly Candidate[]>> = {
  "bios-pxe": IPXE_BIOS,
  "uefi-x64-pxe": [SHIM_X64, GRUB_X64, ...IPXE_UEFI],
  "uefi-x64-http": [...IPXE_UEFI, SHIM_X64, GRUB_X64],
  "uefi-arm64-pxe": [SHIM_ARM64, GRUB_ARM64, ...IPXE_ARM64],
  "uefi-arm64-http": [...IPXE_ARM64, SHIM_ARM64, GRUB_ARM64],
  // iPXE is a boot loader: it is handed its script.
  "ipxe-bios": [],
  "ipxe-uefi-x64": [],
  "ipxe-uefi-arm64": [],
  // It reads a menu, and starts what UEFI starts.
  "uboot-arm64": [],
  // A Pi asks for its own files, which a person has put below tftp.root.
  "raspberry-pi": [],
};

/** iPXE by firmware, for machines that boot through it. */
const IPXE: Partial<Record<FirmwareKind, readonly Candidate[]>> = {
  "bios-pxe": IPXE_BIOS,
  "uefi-x64-pxe": IPXE_UEFI,
  "uefi-x64-http": IPXE_UEFI,
  "uefi-arm64-pxe": IPXE_ARM64,
  "uefi-arm64-http": IPXE_ARM64,
};

/** The boot loaders that this system has, by the firmware that they are for. */
export interface FoundLoaders {
  readonly usual: ReadonlyMap<FirmwareKind, LoaderFile>;
  readonly ipxe: ReadonlyMap<FirmwareKind, LoaderFile>;
}

/** Looks in the well-known places; `exists` is for tests. */
export function findLoaders(exists: (path: string) => boolean = existsSync): FoundLoaders {
  return { usual: firstOfEach(CANDIDATES, exists), ipxe: firstOfEach(IPXE, exists) };
}

function firstOfEach(
  table: Partial<Record<FirmwareKind, readonly Candidate[]>>,
  exists: (path: string) => boolean,
): Map<FirmwareKind, LoaderFile> {
  const found = new Map<FirmwareKind, LoaderFile>();
  for (const [kind, candidates] of Object.entries(table)) {
    const first = candidates.find((each) => exists(each.path) && (each.with === undefined || exists(each.with)));
    if (first !== undefined) found.set(kind as FirmwareKind, namedLoader(first.path));
  }
  return found;
}

/**
 * A loader's name in a URL or TFTP path. UEFI HTTP boot believes a name that ends in `.efi`, so Debian's `.signed` goes.
 */
export function namedLoader(path: string): LoaderFile {
  return { name: basename(path).replace(/\.signed$/, ""), path };
}

/**
 * The name of the loader that a machine's firmware is given, or undefined where there is none for it. `isProxy`: where another server
 * hands out the addresses, GRUB asks that one for its menu, whatever shim did; iPXE heeds both servers.
 */
export function loaderName(kind: FirmwareKind, machine: Machine, found: FoundLoaders, isProxy = false): string | undefined {
  if (kind.startsWith("ipxe-")) return undefined;
  const { boot } = machine;
  const uefi = UEFI.exec(kind)?.[1];
  if (boot.kind === "uki") return uefi === undefined ? found.ipxe.get(kind)?.name : UKI_NAME;
  if (isProxy && uefi !== undefined && configuredLoader(machine) === undefined && found.ipxe.has(kind)) return found.ipxe.get(kind)?.name;
  // Nobody waits for DHCP: which loader it is turns out when it is asked for.
  if (bringsLoader(machine) && uefi !== undefined) return uefi === "x64" ? "bootx64.efi" : "bootaa64.efi";
  if (boot.kind === "disk") return found.ipxe.get(kind)?.name;
  const configured = configuredLoader(machine);
  return configured !== undefined && suits(configured.name, kind) ? configured.name : found.usual.get(kind)?.name;
}

/** The machine's disk, or the image that it is installed with, has a boot loader of its own. */
export function bringsLoader({ boot }: Machine): boolean {
  return (boot.kind === "disk" && boot.via === "loader") || boot.kind === "install" || boot.kind === "rescue";
}

const UEFI = /^uefi-(x64|arm64)-/;
/** The name that {@link loaderName} gives the loader of a disk. */
const DISK_LOADER = /^boot(x64|aa64)\.efi$/;

/** For which processor the loader of a disk is asked for; undefined where the name means something else. */
export function diskLoaderAsked(name: string): Architecture | undefined {
  return DISK_LOADER.exec(name)?.[1] as Architecture | undefined;
}

/** The firmware that asks for the loader of a disk, by its processor. */
export function firmwareOf(architecture: Architecture, transport: "tftp" | "http"): FirmwareKind {
  return `uefi-${architecture === "x64" ? "x64" : "arm64"}-${transport === "http" ? "http" : "pxe"}`;
}

const TOLD = ["bios-pxe", "uefi-x64-pxe", "uefi-arm64-pxe"] as const;

/** For whom there are loaders here, for people: `for BIOS, UEFI on x86-64; none for UEFI on arm64`. */
export function loaderWords({ usual }: FoundLoaders): string {
  const words = (there: boolean): string =>
    TOLD.filter((kind) => usual.has(kind) === there)
      .map(platformWords)
      .join(", ");
  const parts = [["for", words(true)] as const, ["none for", words(false)] as const].filter(([, kinds]) => kinds !== "");
  return parts.map((part) => part.join(" ")).join("; ");
}

export function configuredLoader(machine: Machine): LoaderFile | undefined {
  return machine.boot.kind === "kernel" && machine.boot.loader !== undefined ? namedLoader(machine.boot.loader) : undefined;
}

/** Told by the name, as people tell them: an .efi file is for UEFI, one with aa64 or arm64 in its name for that. */
function suits(name: string, kind: FirmwareKind): boolean {
  const efi = /\.efi$/i.test(name);
  if (kind === "bios-pxe") return !efi;
  return efi && /aa64|arm64/i.test(name) === kind.startsWith("uefi-arm64");
}

/** Every loader that the machine may be told of, whatever firmware it turns out to have. */
export function loadersOf(machine: Machine, found: FoundLoaders): readonly LoaderFile[] {
  const configured = configuredLoader(machine);
  return [...(configured === undefined ? [] : [configured]), ...found.usual.values(), ...found.ipxe.values()];
}

/** Folders that a loader's companions may come from: the configured loader's own, else those of the loaders found. */
export function loaderFolders(machine: Machine, found: FoundLoaders): readonly string[] {
  const configured = configuredLoader(machine);
  const loaders = configured === undefined ? [...found.usual.values()] : [configured];
  return [...new Set(loaders.map((loader) => dirname(loader.path)))];
}
