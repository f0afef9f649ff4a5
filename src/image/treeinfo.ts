import { ImageError } from "./error.ts";

/** A .treeinfo file as it is written by lorax and productmd: an INI file that says what an installation tree is. */
export interface TreeInfo {
  /** [release] name, or family of [general] in older ones: "Red Hat Enterprise Linux". */
  readonly system: string;
  readonly version: string;
  /** [tree] arch: `x86_64`. */
  readonly arch: string;
  /** [images-<arch>]: what there is, with its path. */
  readonly images: ReadonlyMap<string, string>;
  /** [checksums]: SHA-256 in hexadecimal, by path. */
  readonly checksums: ReadonlyMap<string, string>;
}

/** A medium's own has some two kilobytes. */
export const MAX_TREEINFO_BYTES: number = 256 * 1024;

/** Throws {@link ImageError} where it does not say what a tree must say. */
export function parseTreeInfo(text: string): TreeInfo {
  const sections = parseIni(text);
  const one = (...places: readonly (readonly [section: string, key: string])[]): string => {
    for (const [section, key] of places) {
      const found = sections.get(section)?.get(key);
      if (found !== undefined && found !== "") return found;
    }
    const [[section, key] = ["", ""]] = places;
    throw new ImageError(`its .treeinfo has no ${key} in [${section}]: it is no installation tree, or was cut short`);
  };
  const arch = one(["tree", "arch"], ["general", "arch"]);
  const checksums = new Map<string, string>();
  for (const [path, value] of sections.get("checksums") ?? []) {
    const [, sha256] = /^sha256:([0-9a-f]{64})$/i.exec(value) ?? [];
    if (sha256 !== undefined) checksums.set(relative(path), sha256.toLowerCase());
  }
  const images = [...(sections.get(`images-${arch}`) ?? [])].map(([key, path]) => [key, relative(path)] as const);
  return {
    system: one(["release", "name"], ["general", "family"]),
    version: one(["release", "version"], ["general", "version"]),
    arch,
    images: new Map(images),
    checksums,
  };
}

/** A path inside of the tree, and nowhere else. */
function relative(path: string): string {
  if (path.startsWith("/") || path.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw new ImageError(`its .treeinfo names ${JSON.stringify(path.slice(0, 200))}, which is no path inside of it`);
  }
  return path;
}

/** Sections of `key = value`; `;` and `#` begin a comment. What else a line says is passed over, as Python's parser is told to. */
function parseIni(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section: Map<string, string> | undefined;
  for (const line of text.split(/\r?\n/)) {
    const [, name] = /^\[([^\]]+)\]\s*$/.exec(line) ?? [];
    if (name !== undefined) {
      section = sections.get(name) ?? new Map();
      sections.set(name, section);
      continue;
    }
    if (/^\s*[;#]/.test(line)) continue;
    const at = line.search(/[=:]/);
    if (at > 0 && section !== undefined) section.set(line.slice(0, at).trim(), line.slice(at + 1).trim());
  }
  return sections;
}
