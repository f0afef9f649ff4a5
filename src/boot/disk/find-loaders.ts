import type { DiskDevice } from "../../volume/look/output.ts";
import { type LoaderTraits, loaderTraits } from "../loader-traits.ts";
import type { DiskFile, DiskLoader } from "./disk-boot.ts";
import type { DiskView } from "./view.ts";

/** A GRUB image is two to four megabytes; what is larger is not looked into. */
const MAX_LOADER_BYTES = 16 * 2 ** 20;
/** Folders below EFI, and unified kernels, that are looked at. */
const MAX_VENDORS = 16;
const MAX_UNIFIED_KERNELS = 16;

const LOADER = /^(shim|grub)(x64|aa64)\.efi$/i;

/** A folder below EFI that has boot loaders or a boot loader's configuration. */
export interface VendorFolder {
  readonly device: string;
  /** `/EFI/redhat`. */
  readonly folder: string;
}

export interface FoundLoaders {
  readonly loaders: readonly DiskLoader[];
  readonly vendors: readonly VendorFolder[];
  readonly unifiedKernels: readonly DiskFile[];
}

/** Where an EFI system partition's folder is: at its root, or where a system mounts it, copied into the root file system. */
const SYSTEM_PARTITION_PLACES = ["/EFI", "/boot/efi/EFI", "/efi/EFI"];

/** Looks for shim and GRUB as the firmware would find them, the vendors' folders before the removable-media one. */
export async function findLoaders(view: DiskView, fileSystems: readonly DiskDevice[]): Promise<FoundLoaders> {
  const loaders: DiskLoader[] = [];
  const vendors: VendorFolder[] = [];
  const unifiedKernels: DiskFile[] = [];
  // FAT first: firmware reads nothing else.
  for (const { name: device } of [...fileSystems].sort((left, right) => fatFirst(left) - fatFirst(right))) {
    for (const place of SYSTEM_PARTITION_PLACES) {
      const folder = await view.folder(device, place);
      if (folder === undefined) continue;
      const names = (await view.list(device, folder))?.filter((each) => each.kind === "directory").map((each) => each.name) ?? [];
      for (const vendor of names.slice(0, MAX_VENDORS)) {
        const at = { device, folder: `${folder}/${vendor}` };
        const files = await efiFiles(view, at);
        if (vendor.toLowerCase() === "linux") unifiedKernels.push(...files.slice(0, MAX_UNIFIED_KERNELS));
        loaders.push(...(await loadersIn(view, vendor, files)));
        vendors.push(at);
      }
    }
  }
  loaders.sort((left, right) => rank(left) - rank(right));
  vendors.sort((left, right) => Number(isRemovable(left.folder)) - Number(isRemovable(right.folder)));
  return { loaders, vendors, unifiedKernels };
}

async function efiFiles(view: DiskView, { device, folder }: VendorFolder): Promise<readonly DiskFile[]> {
  const entries = (await view.list(device, folder)) ?? [];
  return entries
    .filter((each) => each.kind === "file" && /\.efi$/i.test(each.name))
    .map((each) => ({ device, path: `${folder}/${each.name}`, sizeBytes: each.sizeBytes }));
}

async function loadersIn(view: DiskView, vendor: string, files: readonly DiskFile[]): Promise<readonly DiskLoader[]> {
  const found: DiskLoader[] = [];
  for (const architecture of ["x64", "aa64"] as const) {
    const named = (kind: string): DiskFile | undefined =>
      files.find((file) => {
        const [, what, which] = LOADER.exec(baseName(file.path)) ?? [];
        return what?.toLowerCase() === kind && which?.toLowerCase() === architecture;
      });
    const shim = named("shim");
    const grub = named("grub");
    if (shim === undefined && grub === undefined) continue;
    const grubTraits = grub === undefined ? undefined : await traitsOf(view, grub);
    found.push({
      vendor,
      architecture,
      files,
      ...(shim === undefined ? {} : { shim }),
      ...(grub === undefined ? {} : { grub }),
      ...(grubTraits === undefined ? {} : { grubTraits }),
    });
  }
  return found;
}

async function traitsOf(view: DiskView, file: DiskFile): Promise<LoaderTraits | undefined> {
  const image = await view.read(file, MAX_LOADER_BYTES);
  return image === undefined ? undefined : loaderTraits(image);
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function fatFirst(device: DiskDevice): number {
  return device.fileSystem === "fat" ? 0 : 1;
}

function isRemovable(path: string): boolean {
  return baseName(path).toUpperCase() === "BOOT";
}

/** Whole chains first, then those that can start something. */
function rank(loader: DiskLoader): number {
  const missing = (loader.shim === undefined ? 1 : 0) + (loader.grub === undefined ? 2 : 0);
  return missing + (isRemovable(loader.vendor) ? 8 : 0);
}
