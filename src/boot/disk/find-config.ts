import type { DiskDevice } from "../../volume/look/output.ts";
import { type BlsEntry, blsBoot, MAX_BLS_BYTES, parseBlsEntry } from "./bls.ts";
import type { VendorFolder } from "./find-loaders.ts";
import { type GrubScript, lastAssigned, MAX_GRUB_CONFIG_BYTES, readGrubScript, type ScriptNode } from "./grub-script.ts";
import { type GrubVariables, MAX_GRUBENV_BYTES, parseGrubenv } from "./grubenv.ts";
import { sortNewestFirst } from "./rpm-version.ts";
import type { DiskView } from "./view.ts";

/** Boot Loader Specification files of one folder that are read; the newest ones. */
const MAX_BLS_ENTRIES = 64;

/** A boot loader's configuration on the disk, or none of it but entries of the Boot Loader Specification. */
export interface FoundConfig {
  /** For people. */
  readonly where: string;
  readonly device: string;
  readonly script?: GrubScript;
  /** grubenv and, where that says nothing, what grub.cfg sets. */
  readonly variables: GrubVariables;
  readonly configured?: string;
}

/** An item of a menu before its files are looked for. */
export interface MenuSource {
  readonly id?: string;
  readonly title: string;
  readonly linux?: string;
  readonly initrds?: readonly string[];
  readonly devicetree?: string;
  readonly arguments?: string;
  /** Where its paths may be, most likely first. */
  readonly devices: readonly string[];
  readonly children?: readonly MenuSource[];
}

const CONFIG_PLACES = ["/grub2", "/boot/grub2", "/grub", "/boot/grub"];
const ENTRY_PLACES = ["/loader/entries", "/boot/loader/entries"];

/** The configurations of a disk in the order in which its firmware and its boot loader would come to them. */
export async function* findConfigs(
  view: DiskView,
  fileSystems: readonly DiskDevice[],
  vendors: readonly VendorFolder[],
): AsyncGenerator<FoundConfig, void, void> {
  const seen = new Set<string>();
  const fresh = (device: string, folder: string): boolean => {
    const key = `${device}:${folder}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  };
  for (const { device, folder } of vendors) {
    if (!fresh(device, folder)) continue;
    const config = await configIn(view, device, folder);
    if (config?.script === undefined) continue;
    const { configfile, fsUuid, menu, blscfg } = config.script;
    if (configfile === undefined || menu.length > 0 || blscfg) {
      yield config;
      continue;
    }
    // A stub: it looks for a file system and goes on there.
    const next = configfile.slice(0, configfile.lastIndexOf("/"));
    const named = fsUuid === undefined ? undefined : view.withUuid(fsUuid);
    if (fsUuid !== undefined && named === undefined)
      view.note(`${config.where} goes on to the file system ${fsUuid}, which is not on this disk`);
    const target = named?.name;
    if (target === undefined || !fresh(target, next)) continue;
    const followed = await configIn(view, target, next, { device, folder });
    if (followed !== undefined) yield followed;
  }
  for (const { name: device } of fileSystems) {
    for (const place of CONFIG_PLACES) {
      const folder = await view.folder(device, place);
      if (folder === undefined || !fresh(device, folder)) continue;
      const config = await configIn(view, device, folder);
      if (config !== undefined) yield config;
    }
  }
  for (const { name: device } of fileSystems) {
    for (const place of ENTRY_PLACES) {
      if ((await view.folder(device, place)) === undefined) continue;
      const variables = (await grubenvOf(view, device, CONFIG_PLACES)) ?? new Map();
      yield { where: `${place} on ${view.describe(device)}`, device, variables };
    }
  }
}

async function configIn(view: DiskView, device: string, folder: string, stub?: VendorFolder): Promise<FoundConfig | undefined> {
  const text = await view.text(device, `${folder}/grub.cfg`, MAX_GRUB_CONFIG_BYTES);
  if (text === undefined) return undefined;
  const environment =
    (await grubenvOf(view, device, [folder])) ?? (stub === undefined ? undefined : await grubenvOf(view, stub.device, [stub.folder]));
  const script = readGrubScript(text, environment ?? new Map());
  const configured = lastAssigned(script, "default");
  return {
    where: `${folder}/grub.cfg on ${view.describe(device)}`,
    device,
    script,
    variables: mergeVariables(script, environment ?? new Map()),
    ...(configured === undefined ? {} : { configured }),
  };
}

/** The first of these folders that has an environment block. */
async function grubenvOf(view: DiskView, device: string, folders: readonly string[]): Promise<GrubVariables | undefined> {
  for (const folder of folders) {
    if ((await view.folder(device, folder)) === undefined) continue;
    const file = await view.file(device, `${folder}/grubenv`);
    const octets = file === undefined ? undefined : await view.read(file, MAX_GRUBENV_BYTES);
    if (octets === undefined) continue;
    const parsed = parseGrubenv(octets);
    if ("variables" in parsed) return parsed.variables;
    view.note(`${folder}/grubenv on ${view.describe(device)}: ${parsed.reason}`);
  }
  return undefined;
}

/**
 * A generated grub.cfg loads grubenv first. It then sets kernelopts and the like only where grubenv has not; what tuned writes
 * into it is set without a condition.
 */
function mergeVariables(script: GrubScript, environment: GrubVariables): GrubVariables {
  const merged = new Map<string, string>();
  for (const { name, value } of script.assignments) if (value !== "") merged.set(name, value);
  // These say what the next boot is; only the disk's own block may.
  for (const name of ["saved_entry", "next_entry", "default"]) merged.delete(name);
  for (const [name, value] of environment) if (value !== "" && !(name.startsWith("tuned_") && merged.has(name))) merged.set(name, value);
  return merged;
}

/** What the configuration's menu consists of, in its order. */
export async function sourcesOf(view: DiskView, config: FoundConfig): Promise<readonly MenuSource[]> {
  const { script } = config;
  const named = script?.fsUuid === undefined ? undefined : view.withUuid(script.fsUuid)?.name;
  const devices = [...new Set([...(named === undefined ? [] : [named]), config.device])];
  const literal = script === undefined ? [] : script.menu.map((node) => fromScript(view, node, devices));
  if (script !== undefined && !script.blscfg) return literal;
  // In a generated file only entries that are no Linux of this disk (firmware set-up, other systems) follow blscfg.
  return [...(await blsSources(view, config, devices)), ...literal];
}

async function blsSources(view: DiskView, config: FoundConfig, devices: readonly string[]): Promise<readonly MenuSource[]> {
  const blsdir = config.variables.get("blsdir");
  const places = blsdir === undefined ? ENTRY_PLACES : [blsdir.replace(/^\([^)]*\)/, ""), ...ENTRY_PLACES];
  for (const device of devices) {
    for (const place of places) {
      const folder = await view.folder(device, place);
      if (folder === undefined) continue;
      const entries = await blsEntries(view, device, folder);
      if (entries.length === 0) continue;
      const others = devices.filter((each) => each !== device);
      return entries.map((entry) => ({ id: entry.id, ...blsBoot(entry, config.variables), devices: [device, ...others] }));
    }
  }
  view.note(
    `${config.where}: there are no entries in ${places.join(" or ")} of ${devices.map((device) => view.describe(device)).join(" or ")}`,
  );
  return [];
}

async function blsEntries(view: DiskView, device: string, folder: string): Promise<readonly BlsEntry[]> {
  const names = (await view.list(device, folder)) ?? [];
  const ids = names
    .filter(
      (each) => each.kind === "file" && each.name.length > ".conf".length && each.name.endsWith(".conf") && !each.name.startsWith("."),
    )
    .map((each) => each.name.slice(0, -".conf".length));
  const newest = sortNewestFirst(ids, (id) => id);
  if (newest.length > MAX_BLS_ENTRIES) view.note(`${folder} has ${newest.length} entries; the newest ${MAX_BLS_ENTRIES} are read`);
  const entries: BlsEntry[] = [];
  for (const id of newest.slice(0, MAX_BLS_ENTRIES)) {
    const text = await view.text(device, `${folder}/${id}.conf`, MAX_BLS_BYTES);
    if (text === undefined) continue;
    const entry = parseBlsEntry(id, text);
    if ("reason" in entry) view.note(`an entry is left out: ${entry.reason}`);
    else entries.push(entry);
  }
  return entries;
}

function fromScript(view: DiskView, node: ScriptNode, devices: readonly string[]): MenuSource {
  const named = { title: node.title, ...(node.id === undefined ? {} : { id: node.id }) };
  if (node.kind === "submenu") return { ...named, devices, children: node.children.map((child) => fromScript(view, child, devices)) };
  const own = node.fsUuid === undefined ? undefined : view.withUuid(node.fsUuid)?.name;
  return {
    ...named,
    devices: own === undefined ? devices : [...new Set([own, ...devices])],
    initrds: node.initrds,
    arguments: node.arguments,
    ...(node.linux === undefined ? {} : { linux: node.linux }),
  };
}
