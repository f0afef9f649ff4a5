import { joinWords, scriptWords } from "./grub-words.ts";
import type { GrubVariables } from "./grubenv.ts";

/** A type 1 entry of the Boot Loader Specification: one file below loader/entries, its variables not yet replaced. */
export interface BlsEntry {
  /** The file's name without `.conf`; what saved_entry names. */
  readonly id: string;
  readonly title?: string;
  readonly version?: string;
  /** Paths are relative to the file system that holds loader/entries. */
  readonly linux: string;
  readonly initrds: readonly string[];
  readonly options: readonly string[];
  readonly devicetree?: string;
  readonly grubUsers?: string;
  readonly grubArgs: readonly string[];
  readonly grubClasses: readonly string[];
}

/** An entry is some hundred octets; a kernel takes a line of 2048 (COMMAND_LINE_SIZE on x86) to 4096. */
export const MAX_BLS_BYTES: number = 64 * 1024;
const MAX_LINES = 256;

/**
 * Reads an entry as blscfg does, `id` being its file's name without `.conf`: a key ends at the line's first space, or at its
 * first tab where there is no space. Lines that begin with # are comments. The first line without a value, an empty one too,
 * ends the entry.
 */
export function parseBlsEntry(id: string, text: string): BlsEntry | { readonly reason: string } {
  if (text.length > MAX_BLS_BYTES) return { reason: `${id}.conf has more than ${MAX_BLS_BYTES} characters` };
  const values = new Map<string, string[]>();
  for (const raw of text.replaceAll("\r", "").split("\n", MAX_LINES)) {
    const line = raw.replace(/^[ \t]+/, "");
    if (line.startsWith("#")) continue;
    const blank = line.indexOf(" ") >= 0 ? line.indexOf(" ") : line.indexOf("\t");
    if (blank < 0 || blank + 1 === line.length) break;
    const key = line.slice(0, blank);
    const value = line.slice(blank).replace(/^[ \t]+/, "");
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  const first = (key: string): string | undefined => values.get(key)?.[0];
  const linux = first("linux");
  if (linux === undefined)
    return { reason: `${id}.conf has no linux line${values.size === 0 ? "; it has no line with a value at all" : ""}` };
  return {
    id,
    linux,
    initrds: values.get("initrd") ?? [],
    options: values.get("options") ?? [],
    grubArgs: values.get("grub_arg") ?? [],
    grubClasses: values.get("grub_class") ?? [],
    ...present("title", first("title")),
    ...present("version", first("version")),
    ...present("devicetree", first("devicetree")),
    ...present("grubUsers", first("grub_users")),
  };
}

function present<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: string };
}

/**
 * Replaces `$name` in an entry's value as blscfg does before GRUB's script language sees it. A variable that is set brings a
 * blank behind it and swallows one that follows; one that is not set disappears. blscfg loses a literal of a single character
 * next to a variable or alone, and a variable of a single letter before another one: so does this, since what counts is
 * what GRUB would boot.
 */
export function expandValue(value: string, variables: GrubVariables): string {
  let expanded = "";
  let from = 0;
  for (const match of value.matchAll(/(?<!\\)\$([A-Za-z0-9_]*)/g)) {
    const literal = value.slice(from, match.index);
    if (literal.length !== 1) expanded += literal;
    const name = match[1] ?? "";
    from = match.index + match[0].length;
    const follows = value[from];
    const lost = name.length === 1 && (follows === undefined || follows === "$");
    const replacement = lost ? undefined : variables.get(name);
    if (replacement !== undefined) expanded += `${replacement} `;
    if (follows === " ") from++;
  }
  const rest = value.slice(from);
  return rest.length === 1 ? expanded : expanded + rest;
}

/** What the entry boots once GRUB's variables are put in. Paths begin with a slash, as GRUB finds them on its root device. */
export interface BlsBoot {
  readonly title: string;
  readonly linux: string;
  readonly initrds: readonly string[];
  readonly devicetree?: string;
  readonly arguments: string;
}

/** Only the first options line counts for Red Hat's GRUB; without one, default_kernelopts does. */
export function blsBoot(entry: BlsEntry, variables: GrubVariables): BlsBoot {
  const options = expandValue(entry.options[0] ?? variables.get("default_kernelopts") ?? "", variables);
  const [linux = entry.linux, ...more] = scriptWords(`${entry.linux} ${options}`, variables);
  const listed = entry.initrds.flatMap((line) => scriptWords(line, variables)).map(onRootDevice);
  const folder = folderOf(listed[0] ?? onRootDevice(linux));
  const early = (variables.get("early_initrd") ?? "").split(" ").filter((name) => name !== "");
  return {
    title: entry.title ?? entry.linux,
    linux: onRootDevice(linux),
    initrds: [...early.map((name) => folder + name), ...listed],
    arguments: joinWords(more),
    ...present("devicetree", devicetreeOf(entry, variables, onRootDevice(linux))),
  };
}

/** The entry's own is a path; the variable's, which Red Hat's ARM images set, is beside the kernel. */
function devicetreeOf(entry: BlsEntry, variables: GrubVariables, linux: string): string | undefined {
  if (entry.devicetree !== undefined) return onRootDevice(expandValue(entry.devicetree, variables).trim());
  const name = variables.get("devicetree");
  return name === undefined || name === "" ? undefined : folderOf(linux) + name;
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/** `($root)/x` and `/x` are the same file: GRUB's root device is where the entries are. */
export function onRootDevice(path: string): string {
  const bare = path.replace(/^\([^)]*\)/, "");
  return bare.startsWith("/") ? bare : `/${bare}`;
}
