import type { DiskLook } from "../../volume/look/disk.ts";
import type { DiskDevice } from "../../volume/look/output.ts";
import { type BareKernel, bareKernels } from "./debian.ts";
import type { DiskEntry, DiskFindings, DiskMenuItem } from "./disk-boot.ts";
import { type FoundConfig, findConfigs, type MenuSource, sourcesOf } from "./find-config.ts";
import { findLoaders } from "./find-loaders.ts";
import type { GrubVariables } from "./grubenv.ts";
import { DiskView, printable } from "./view.ts";

/** Deepest submenu that is laid flat; Debian has one. */
const MAX_DEPTH = 4;
const MAX_ENTRIES = 64;
/** The longest line that any kernel takes (COMMAND_LINE_SIZE, arm64 2048, x86-64 2048, s390 4096). */
const MAX_ARGUMENTS = 4096;

/**
 * Finds what the disk's own boot loader would offer, in the order in which that loader would look:
 *
 * 1. grub.cfg beside the boot loader on the EFI system partition, and what it goes on to;
 * 2. grub.cfg in /grub2, /boot/grub2, /grub, /boot/grub of each file system;
 * 3. Boot Loader Specification entries without any grub.cfg;
 * 4. kernels that just lie in /boot, unless the system partition has unified kernel images: those boot by themselves.
 *
 * The first that gives something bootable counts. Rejects with a LookError only where looking itself is not possible.
 */
export async function findDiskBoot(look: DiskLook): Promise<DiskFindings> {
  const view = new DiskView(look);
  const fileSystems = await view.fileSystems();
  const { loaders, vendors, unifiedKernels } = await findLoaders(view, fileSystems);
  const shared = { loaders, unifiedKernels };
  for await (const config of findConfigs(view, fileSystems, vendors)) {
    const menu = new Menu(view, config);
    for (const source of await sourcesOf(view, config)) await menu.add(source);
    if (menu.entries.length > 0) return { ...shared, ...menu.found(), notes: view.notes };
    view.note(`${config.where} offers nothing that can be booted from here`);
  }
  const unified = unifiedKernels.length > 0;
  const bare = unified ? [] : await findBareKernels(view, fileSystems);
  if (bare.length === 0 && !unified && fileSystems.length > 0) {
    const places = fileSystems.map((device) => view.describe(device.name)).join(", ");
    view.note(
      `looked for loader/entries, grub2/grub.cfg, grub/grub.cfg and vmlinuz-* at the root and in /boot of ${places}: none was there`,
    );
  }
  const menu = bare.map((entry, index) => ({ id: entry.id, title: entry.title, entry: index }));
  return { ...shared, entries: bare, menu, variables: new Map(), notes: view.notes };
}

/** Collects a menu, and of it the entries whose files are all there. */
class Menu {
  readonly entries: DiskEntry[] = [];
  readonly #view: DiskView;
  readonly #config: FoundConfig;
  readonly #items: DiskMenuItem[] = [];

  constructor(view: DiskView, config: FoundConfig) {
    this.#view = view;
    this.#config = config;
  }

  async add(source: MenuSource): Promise<void> {
    this.#items.push(await this.#item(source, 0));
  }

  found(): { entries: readonly DiskEntry[]; menu: readonly DiskMenuItem[]; variables: GrubVariables; configured?: string } {
    const { variables, configured } = this.#config;
    return { entries: this.entries, menu: this.#items, variables, ...(configured === undefined ? {} : { configured }) };
  }

  async #item(source: MenuSource, depth: number): Promise<DiskMenuItem> {
    const named = { title: source.title, ...(source.id === undefined ? {} : { id: source.id }) };
    if (source.children !== undefined) {
      const children: DiskMenuItem[] = [];
      for (const child of depth < MAX_DEPTH ? source.children : []) children.push(await this.#item(child, depth + 1));
      return { ...named, children };
    }
    const entry = this.entries.length < MAX_ENTRIES ? await this.#entry(source) : undefined;
    if (entry === undefined) return named;
    this.entries.push(entry);
    return { ...named, entry: this.entries.length - 1 };
  }

  async #entry(source: MenuSource): Promise<DiskEntry | undefined> {
    if (source.linux === undefined) return undefined;
    const line = (source.arguments ?? "").replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, " ");
    if (line.length > MAX_ARGUMENTS) {
      this.#view.note(`the entry "${source.title}" is left out: its kernel line has more than ${MAX_ARGUMENTS} characters`);
      return undefined;
    }
    const kernel = await this.#file(source, source.linux);
    if (kernel === undefined) return undefined;
    const initrds = [];
    for (const path of source.initrds ?? []) {
      const initrd = await this.#file(source, path);
      if (initrd === undefined) return undefined;
      initrds.push(initrd);
    }
    const devicetree = source.devicetree === undefined ? undefined : await this.#file(source, source.devicetree);
    return {
      id: printable(source.id ?? source.title),
      title: printable(source.title),
      kernel,
      initrds,
      arguments: line,
      ...(devicetree === undefined ? {} : { devicetree }),
    };
  }

  /**
   * A path as the entry says it; else with /boot before it, since a /boot that was a partition may have been copied into the
   * root file system; else without, for the other way round.
   */
  async #file(source: MenuSource, path: string): Promise<Awaited<ReturnType<DiskView["file"]>>> {
    const other = path.startsWith("/boot/") ? path.slice("/boot".length) : `/boot${path}`;
    for (const device of source.devices) {
      const found = (await this.#view.file(device, path)) ?? (await this.#view.file(device, other));
      if (found !== undefined) return found;
    }
    const places = source.devices.map((device) => this.#view.describe(device)).join(" nor on ");
    this.#view.note(`the entry "${source.title}" is left out: its ${path} is not on ${places}`);
    return undefined;
  }
}

/** Kernels without a boot loader's word about them; the root file system is the one with /etc and /usr. */
async function findBareKernels(view: DiskView, fileSystems: readonly DiskDevice[]): Promise<readonly DiskEntry[]> {
  const root = await findRoot(view, fileSystems);
  if (root?.uuid === undefined) return [];
  for (const { name: device } of fileSystems) {
    for (const folder of ["/boot", "/"]) {
      const files = (await view.list(device, folder))?.filter((each) => each.kind === "file") ?? [];
      const kernels = bareKernels(files.map((each) => each.name));
      if (kernels.length === 0) continue;
      view.note(
        `no boot loader's configuration could be read; the kernels in ${folder} of ${view.describe(device)} are offered, newest first`,
      );
      const sizeOf = (name: string): number => files.find((each) => each.name === name)?.sizeBytes ?? 0;
      const at = (name: string): DiskEntry["kernel"] => ({
        device,
        path: `${folder === "/" ? "" : folder}/${name}`,
        sizeBytes: sizeOf(name),
      });
      return kernels.map(({ version, linux, initrd }: BareKernel) => ({
        id: version,
        title: `Linux ${version}`,
        kernel: at(linux),
        initrds: [at(initrd)],
        arguments: `root=UUID=${root.uuid} ro`,
      }));
    }
  }
  return [];
}

async function findRoot(view: DiskView, fileSystems: readonly DiskDevice[]): Promise<DiskDevice | undefined> {
  for (const device of fileSystems) {
    const names = new Set((await view.list(device.name, "/"))?.map((each) => each.name));
    if (names.has("etc") && names.has("usr")) return device;
  }
  return undefined;
}
