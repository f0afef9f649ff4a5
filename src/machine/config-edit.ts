import { parseDocument } from "yaml";
import { type ConfigReading, type Problem, parseConfig } from "./config-file.ts";
import { formatPath, type KeyPath, valueAt } from "./config-problems.ts";
import { type Splice, SpliceError, spliceYaml } from "./yaml-splice.ts";

/** The keys of one machine as the file has them; `null` takes a key away. */
export type MachineKeys = Readonly<Record<string, unknown>>;

/** What a person may ask of rackboot.yaml from somewhere else than an editor. */
export type ConfigEdit =
  | { readonly kind: "machine.add"; readonly name: string; readonly keys: MachineKeys }
  | { readonly kind: "machine.set"; readonly name: string; readonly keys: MachineKeys }
  | { readonly kind: "machine.remove"; readonly name: string }
  /** The two exchange their MAC addresses: each takes over the other's hardware. */
  | { readonly kind: "machine.swap"; readonly names: readonly [string, string] }
  /** Any key by its path; `null` takes it away. */
  | { readonly kind: "set"; readonly path: KeyPath; readonly value: unknown }
  /** Several keys that are right only together. */
  | { readonly kind: "sets"; readonly values: readonly { readonly path: KeyPath; readonly value: unknown }[] };

export type GoodReading = Extract<ConfigReading, { ok: true }>;

export type EditResult =
  | { readonly ok: true; readonly text: string; readonly reading: GoodReading }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * rackboot.yaml after `edit`, with every comment and every line that it does not touch as it was. Checked as a whole: what
 * would not be a good file is refused with the place (in the file as it would be), the key and the reason.
 */
export function editConfig(text: string, file: string, edit: ConfigEdit): EditResult {
  const before = parseConfig(text, file);
  if (!before.ok) return before;
  const content: unknown = parseDocument(text).toJS({ maxAliasCount: 1000 });
  const refused = (path: KeyPath, found: string, allowed: string, offset = 0): EditResult => {
    const line = offset === 0 ? 0 : text.slice(0, offset).split("\n").length;
    return { ok: false, problems: [{ file, line, column: line === 0 ? 0 : 1, key: formatPath(path), found, allowed }] };
  };
  const wrong = misfit(content, edit);
  if (wrong !== undefined) return refused(wrong.path, wrong.found, wrong.allowed);
  try {
    const edited = splicesOf(content, edit).reduce(spliceYaml, text);
    const reading = parseConfig(edited, file);
    return reading.ok ? { ok: true, text: edited, reading } : reading;
  } catch (cause) {
    if (!(cause instanceof SpliceError)) throw cause;
    return refused(cause.path, cause.message, "a value of its own; change it in the file itself", cause.offset);
  }
}

interface Misfit {
  readonly path: KeyPath;
  readonly found: string;
  readonly allowed: string;
}

/** What the edit takes for granted and is not so. */
function misfit(content: unknown, edit: ConfigEdit): Misfit | undefined {
  const machines = valueAt(content, ["machines"]);
  const isThere = (name: string): boolean => typeof machines === "object" && machines !== null && Object.hasOwn(machines, name);
  const missing = (name: string): Misfit | undefined => {
    if (isThere(name)) return undefined;
    return { path: ["machines", name], found: "no such machine", allowed: 'one of those that "rackboot machine list" names' };
  };
  switch (edit.kind) {
    case "machine.add":
      if (!isThere(edit.name)) return undefined;
      return { path: ["machines", edit.name], found: "a machine that is there already", allowed: "a new name" };
    case "machine.set":
    case "machine.remove":
      return missing(edit.name);
    case "machine.swap":
      if (edit.names[0] === edit.names[1])
        return { path: ["machines", edit.names[0]], found: "one machine twice", allowed: "two machines" };
      return missing(edit.names[0]) ?? missing(edit.names[1]);
    default:
      return undefined;
  }
}

function splicesOf(content: unknown, edit: ConfigEdit): readonly Splice[] {
  switch (edit.kind) {
    case "machine.add":
      return [{ path: ["machines", edit.name], value: edit.keys }];
    case "machine.set":
      return Object.entries(edit.keys).map(([key, value]) => ({ path: ["machines", edit.name, key], value: value ?? undefined }));
    case "machine.remove":
      return [{ path: ["machines", edit.name], value: undefined }];
    case "machine.swap": {
      const [a, b] = edit.names;
      const mac = (name: string): unknown => valueAt(content, ["machines", name, "mac"]);
      return [
        { path: ["machines", a, "mac"], value: mac(b) },
        { path: ["machines", b, "mac"], value: mac(a) },
      ];
    }
    case "sets":
      return edit.values.map(({ path, value }) => ({ path, value: value ?? undefined }));
    default:
      return [{ path: edit.path, value: edit.value ?? undefined }];
  }
}
