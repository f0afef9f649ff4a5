import { basename } from "node:path";
import { platformWords } from "../machine/boot-words.ts";
import type { FirmwareKind } from "../machine/firmware.ts";
import type { Machine } from "../machine/machine.ts";
import type { ChapSecrets } from "../machine/secrets.ts";
import type { ServerFacts } from "./facts.ts";
import { fileAt, fileNamed, fileOf, fileWithin, LoaderInspector } from "./file-system.ts";
import type { BootFile, BootFiles, FileClient, NotFound } from "./files.ts";
import { grubConfig } from "./grub-config.ts";
import { ipxeScript } from "./ipxe-script.ts";
import {
  bringsLoader,
  configuredLoader,
  DEBIAN_NETWORK_GRUB,
  diskLoaderAsked,
  type FoundLoaders,
  firmwareOf,
  loaderFolders,
  loadersOf,
} from "./loaders.ts";
import { namesClient, roleByName } from "./names.ts";
import { IPXE_SCRIPT } from "./offer.ts";
import { normalPath } from "./paths.ts";
import { type BootPlan, configuredPlan, filesOf, type LoaderChain, nothing } from "./plan.ts";
import { isDefaultMenu, menuAsked, pxelinuxConfig } from "./pxelinux-config.ts";
import { PI_FILES, piFile, withoutPiFolder } from "./raspberry-pi.ts";

export interface ResolverSettings {
  readonly facts: ServerFacts;
  readonly loaders: FoundLoaders;
  /** tftp.root: files that every client may read. */
  readonly root?: string;
  /** Whether a machine of this name is configured: its folder is nobody else's. */
  readonly isMachine: (name: string) => boolean;
  /** What a machine is handed whose disk says it, or an image. Never rejects. */
  readonly diskPlan: (machine: Machine) => Promise<BootPlan>;
  /** What is below `/<machine>/` for installers; the segments are those after the machine's name. Never rejects. */
  readonly installFile?: (machine: Machine, segments: readonly string[]) => Promise<BootFile | NotFound | undefined>;
  /** Neither what the machine boots nor this system has a loader for its firmware. */
  readonly lacksLoader?: (machine: Machine, firmware: FirmwareKind) => void;
  /** What iPXE proves itself with where it attaches the machine's disk. */
  readonly secretsFor?: (machine: Machine) => ChapSecrets | undefined;
}

/** A request as the rules below see it. */
interface Request {
  readonly client: FileClient;
  readonly machine: Machine;
  readonly plan: BootPlan;
  readonly segments: readonly string[];
  /** The last segment, in lower case. */
  readonly name: string;
}

/** GRUB's own folders, which a machine of that name does not take from the others. */
const GRUB_FOLDERS = new Set(["grub", "grub2", "boot", "efi", "debian-installer"]);

/** What shim asks for beside itself: its second stage, its key manager and fall-back, revocations, further certificates. */
const COMPANION = /^(grub|shim|mm|fb|revocations|shim_certificate)[a-z0-9_-]*\.efi$/;
/** What a disk has a say in. It is not looked into for a running system that fetches other files. */
const DISK_SAYS =
  /(^|\/)(grub\.cfg[^/]*|boot\.ipxe|pxelinux\.cfg\/[^/]+|config\.txt|cmdline\.txt|[^/]+\.efi(\.signed)?|entry\/[0-9]+\/[^/]+)$/i;
const NO_PLAN = nothing("its disk has no say in such a file");
/** GRUB's modules and their lists, in the folder that GRUB has for its platform. */
const MODULE_FOLDER = /^(x86_64|arm64|i386)-(efi|pc)$/;
const MODULE = /^[a-z0-9_-]+\.(mod|lst)$/;
const GRUB_CONFIG = /^grub\.cfg(?:-(.+))?$/;

/**
 * The one place that maps (machine, path) to octets. A machine may read its loader with what belongs to it, its boot
 * scripts, its kernels and initramfs; everybody may read what is below tftp.root; nobody anything else.
 */
export class BootResolver implements BootFiles {
  #settings: ResolverSettings;
  readonly #inspector: LoaderInspector;

  constructor(settings: ResolverSettings, inspector: LoaderInspector = new LoaderInspector()) {
    this.#settings = settings;
    this.#inspector = inspector;
  }

  update(settings: ResolverSettings): void {
    this.#settings = settings;
  }

  async resolve(client: FileClient, path: string): Promise<BootFile | NotFound> {
    const normal = normalPath(path);
    if ("reason" in normal) return notFound(normal.reason);
    const { segments } = normal;
    const own = await this.#own(client, segments);
    if (own !== undefined) return own;
    const { root } = this.#settings;
    const common = root === undefined ? undefined : await this.#common(root, client, segments);
    if (common !== undefined) return common;
    const asPi = await this.#raspberryPi(client, segments);
    if (asPi !== undefined) return asPi;
    return notFound(client.machine === undefined ? "no machine is known at this address" : `nothing that ${client.machine.name} may read`);
  }

  /** What a loader asks for beside itself lies, on a server without machines, beside it in the one folder that there is. */
  async #common(root: string, { machine }: FileClient, segments: readonly string[]): Promise<BootFile | undefined> {
    const role = roleByName(segments.at(-1) ?? "");
    const found = await fileWithin(root, segments, role);
    if (found !== undefined || segments.length < 2 || segments[0] !== machine?.name) return found;
    return fileWithin(root, segments.slice(1), role);
  }

  /** A Pi asks in a folder of its own name for what is the machine's, or for what lies in the one folder that there is. */
  async #raspberryPi(client: FileClient, segments: readonly string[]): Promise<BootFile | NotFound | undefined> {
    const { machine } = client;
    if (machine === undefined) return undefined;
    const { root, facts } = this.#settings;
    const rest = withoutPiFolder(segments);
    if (rest !== undefined) {
      const asMachine = [machine.name, ...rest];
      const own = (await this.#own(client, asMachine)) ?? (root === undefined ? undefined : await this.#common(root, client, asMachine));
      if (own !== undefined) return own;
    }
    const [name, ...deeper] = rest ?? segments;
    if (name === undefined || deeper.length > 0 || !PI_FILES.includes(name)) return undefined;
    const plan = configuredPlan(machine) ?? (await this.#settings.diskPlan(machine));
    const text = piFile(name, machine, plan, facts);
    return text === undefined ? undefined : handedOut(plan, text);
  }

  async #own(client: FileClient, segments: readonly string[]): Promise<BootFile | NotFound | undefined> {
    const { machine } = client;
    const [first = ""] = segments;
    const name = segments.at(-1)?.toLowerCase();
    if (machine === undefined || name === undefined) return undefined;
    const foreign = segments.length > 1 && first !== machine.name && this.#settings.isMachine(first) && !GRUB_FOLDERS.has(first);
    if (foreign) return undefined;
    // Of the names below, those of an image's files are nobody's business.
    const installs = first === machine.name ? await this.#settings.installFile?.(machine, segments.slice(1)) : undefined;
    if (installs !== undefined) return installs;
    const plan = configuredPlan(machine) ?? (DISK_SAYS.test(segments.join("/")) ? await this.#settings.diskPlan(machine) : NO_PLAN);
    const request = { client, machine, plan, segments, name };
    return (
      (await this.#planned(request)) ??
      (await this.#grubConfig(request)) ??
      this.#ipxeScript(request) ??
      this.#pxelinuxMenu(request) ??
      (await this.#diskLoader(request)) ??
      (await this.#loader(request)) ??
      (await this.#companion(machine, name)) ??
      (await this.#module(request))
    );
  }

  /** Kernels and initramfs, as `/<machine>/<name>`, or by the name that a file of this system itself has. */
  async #planned({ machine, plan, segments }: Request): Promise<BootFile | NotFound | undefined> {
    const [folder, ...rest] = segments;
    const asked = folder === machine.name ? rest.join("/") : segments.join("/");
    for (const { file, role } of filesOf(plan)) {
      const { name, origin } = file;
      if (asked !== name && (origin.kind !== "path" || asked !== basename(origin.path))) continue;
      return (await fileOf(origin, role)) ?? notFound(`${origin.path} of ${machine.name} is not there, or is no regular file`);
    }
    return undefined;
  }

  /** The configuration under every name that a GRUB looks for it by, in whatever folder its build takes for its own. */
  async #grubConfig({ client, machine, plan, name }: Request): Promise<BootFile | undefined> {
    const [matched, suffix] = GRUB_CONFIG.exec(name) ?? [];
    if (matched === undefined || (suffix !== undefined && !namesClient(suffix, client, machine))) return undefined;
    const checked = await this.#checked(plan);
    const http = client.transport === "http" || (await this.#grubHasHttp(machine, plan));
    return handedOut(plan, grubConfig(machine, checked, this.#settings.facts, { http }));
  }

  #ipxeScript({ machine, plan, name }: Request): BootFile | undefined {
    if (name !== IPXE_SCRIPT) return undefined;
    const { facts, secretsFor } = this.#settings;
    return handedOut(plan, ipxeScript(machine, plan, facts, machine.chap ? secretsFor?.(machine) : undefined));
  }

  #pxelinuxMenu({ client, machine, plan, segments }: Request): BootFile | undefined {
    const name = menuAsked(segments);
    if (name === undefined || !(isDefaultMenu(name) || namesClient(name, client, machine))) return undefined;
    return handedOut(plan, pxelinuxConfig(machine, plan, this.#settings.facts));
  }

  /** The loader of the machine's disk and what it asks for beside itself; this system's own where the disk brings none. */
  async #diskLoader({ client, machine, plan, name }: Request): Promise<BootFile | NotFound | undefined> {
    if (!bringsLoader(machine)) return undefined;
    const chains = chainsOf(plan);
    const architecture = diskLoaderAsked(name);
    if (architecture === undefined) {
      const companion = chains.map(({ companions }) => companions.get(name)).find((origin) => origin !== undefined);
      return companion === undefined ? undefined : fileOf(companion, name.startsWith("grub") ? "loader" : "other");
    }
    // A unified kernel image is for the processor of its disk, which is the machine's.
    if (plan.kind === "uki") return fileOf(plan.file.origin, "loader");
    const chain = chains.find((each) => each.architecture === architecture && (client.transport === "tftp" || each.httpBoot));
    if (chain !== undefined) return fileOf(chain.first, "loader");
    // A disk that brings none is given this system's own.
    const firmware = firmwareOf(architecture, client.transport);
    const own = this.#settings.loaders.usual.get(firmware);
    const found = own === undefined ? undefined : await fileAt(own.path, "loader");
    if (found !== undefined) return found;
    this.#settings.lacksLoader?.(machine, firmware);
    return notFound(`neither what ${machine.name} boots nor this system has a boot loader for ${platformWords(firmware)}`);
  }

  async #loader({ machine, name }: Request): Promise<BootFile | undefined> {
    for (const loader of loadersOf(machine, this.#settings.loaders)) {
      if (name !== loader.name.toLowerCase() && name !== basename(loader.path).toLowerCase()) continue;
      const found = await fileAt(loader.path, "loader");
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #companion(machine: Machine, name: string): Promise<BootFile | undefined> {
    if (!COMPANION.test(name)) return undefined;
    const role = name.startsWith("grub") ? "loader" : "other";
    for (const folder of loaderFolders(machine, this.#settings.loaders)) {
      const found = (await fileNamed(folder, `${name}.signed`, role)) ?? (await fileNamed(folder, name, role));
      if (found !== undefined) return (await this.#withNetwork(found, name)) ?? found;
    }
    return this.#debianGrub(machine, name);
  }

  /** The GRUB of an installed disk may have no network; a machine that boots from here needs its sibling that has. */
  async #withNetwork(found: BootFile, name: string): Promise<BootFile | undefined> {
    const sibling = DEBIAN_NETWORK_GRUB[name];
    if (found.kind !== "file" || sibling === undefined) return undefined;
    const traits = await this.#inspector.inspect(found.path);
    return traits === undefined || traits.network || !traits.debian ? undefined : fileAt(sibling, "loader");
  }

  /** Debian's package of shim brings no GRUB beside it: its own network GRUB is the one that it accepts. */
  async #debianGrub(machine: Machine, name: string): Promise<BootFile | undefined> {
    const grub = DEBIAN_NETWORK_GRUB[name];
    if (grub === undefined) return undefined;
    for (const loader of loadersOf(machine, this.#settings.loaders)) {
      const traits = await this.#inspector.inspect(loader.path);
      if (traits?.shim && traits.debian) return fileAt(grub, "loader");
    }
    return undefined;
  }

  async #module({ machine, segments, name }: Request): Promise<BootFile | undefined> {
    const platform = segments.at(-2)?.toLowerCase();
    if (platform === undefined || !MODULE_FOLDER.test(platform) || !MODULE.test(name)) return undefined;
    for (const folder of loaderFolders(machine, this.#settings.loaders)) {
      // Beside the loader, or around it: grub-mknetdir puts the loader among its modules.
      const among = basename(folder).toLowerCase() === platform ? await fileWithin(folder, [name], "other") : undefined;
      const found = among ?? (await fileWithin(folder, [platform, name], "other"));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** A missing kernel is told on the machine's own screen instead of as an error of GRUB's. */
  async #checked(plan: BootPlan): Promise<BootPlan> {
    for (const { file } of filesOf(plan)) {
      const { origin } = file;
      if ((await fileOf(origin, "other")) === undefined) return nothing(`${origin.path} is missing on the server`);
    }
    return plan;
  }

  /** Of the GRUB that the machine ends up with: its loader, or what shim starts. */
  async #grubHasHttp(machine: Machine, plan: BootPlan): Promise<boolean> {
    const [chain] = chainsOf(plan);
    if (chain !== undefined) return chain.http;
    const { usual } = this.#settings.loaders;
    const loader = configuredLoader(machine) ?? usual.get("uefi-x64-pxe") ?? usual.get("uefi-arm64-pxe");
    const traits = loader === undefined ? undefined : await this.#inspector.inspect(loader.path);
    if (loader === undefined || traits === undefined) return false;
    if (!traits.shim) return traits.network && traits.http;
    const second = await this.#companion(machine, /aa64/i.test(loader.name) ? "grubaa64.efi" : "grubx64.efi");
    const grub = second?.kind === "file" ? await this.#inspector.inspect(second.path) : undefined;
    return grub?.network === true && grub.http;
  }
}

function chainsOf(plan: BootPlan): readonly LoaderChain[] {
  return plan.kind === "kernel" ? plan.chains : [];
}

/** A menu or a script that starts the plan's default. */
function handedOut(plan: BootPlan, text: string): BootFile {
  if (plan.kind === "kernel") plan.handedOut?.();
  return { kind: "bytes", role: "config", bytes: new TextEncoder().encode(text) };
}

function notFound(reason: string): NotFound {
  return { kind: "not-found", reason };
}
