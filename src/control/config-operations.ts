import { createHash } from "node:crypto";
import { parseDocument } from "yaml";
import { z } from "zod";
import type { ConfigEdit } from "../machine/config-edit.ts";
import { type KeyPath, valueAt } from "../machine/config-problems.ts";
import { ControlError } from "./errors.ts";
import { call, type Operations } from "./operation.ts";

/** rackboot.yaml, by whoever reads and writes it. */
export interface ConfigWork {
  /** The file as it stands. */
  read(): { readonly file: string; readonly text: string };
  /**
   * Changes the file and what runs, together; resolves when it is in force. `expected` is the text that the caller saw.
   * Throws an error whose `code` is ERR_CONFIG_REFUSED, and then neither is changed.
   */
  edit(edit: ConfigEdit, expected?: string): Promise<ConfigEdited>;
  /** As {@link edit}, with a whole new text. */
  replace(text: string): Promise<ConfigEdited>;
  isConnected(machine: string): boolean;
}

export interface ConfigEdited {
  readonly file: string;
  /** What may surprise, each with its place in the file. */
  readonly notices: readonly string[];
  /** Keys that wait for the next start of the daemon. */
  readonly deferred: readonly string[];
}

export interface ConfigValue {
  readonly file: string;
  /** Names this text of the file: who sends it with a change is refused where the file has changed since. */
  readonly version: string;
  /** As the file has it; null where the key is not there. */
  readonly value: unknown;
}

interface Named {
  readonly name: string;
}
interface Forced {
  readonly force?: boolean;
}
type Call<I, O = ConfigEdited> = { readonly input: I; readonly output: O };

export interface ConfigCalls {
  /** `keys` are those of a machine in rackboot.yaml: mac, address, disks, boot, ... */
  readonly "machine.add": Call<Named & { readonly keys: Readonly<Record<string, unknown>> }>;
  /** A key whose value is null is taken away. */
  readonly "machine.set": Call<Named & { readonly keys: Readonly<Record<string, unknown>> }>;
  readonly "machine.remove": Call<Named & Forced>;
  /** The machine's name, address, disks and boot go to the hardware with these MAC addresses. */
  readonly "machine.move": Call<Named & Forced & { readonly mac: readonly string[] }>;
  /** Two machines exchange their hardware. */
  readonly "machine.swap": Call<Forced & { readonly names: readonly [string, string] }>;
  /** Without a path: the whole file. */
  readonly "config.get": Call<{ readonly path?: KeyPath }, ConfigValue>;
  /** As it was written, to keep a copy of. */
  readonly "config.text": Call<Readonly<Record<string, never>>, { readonly file: string; readonly text: string }>;
  readonly "config.replace": Call<{ readonly text: string }>;
  /** A value of null takes the key away. */
  readonly "config.set": Call<{ readonly path: KeyPath; readonly value: unknown; readonly version?: string }>;
}

const MAX_PATH = 16;
/** A request carries a megabyte, and JSON makes a text longer. */
const MAX_TEXT = 768 * 1024;
const name = z.string().min(1).max(64);
const force = z.boolean().exactOptional();
const keys = z.record(z.string().max(64), z.unknown());
const path = z.array(z.union([z.string().max(255), z.int().min(0)])).max(MAX_PATH);

export function configOperations(work: ConfigWork): Operations {
  const edit = (change: ConfigEdit, expected?: string): Promise<ConfigEdited> => toldRefusals(() => work.edit(change, expected));
  /** Hardware that runs from a machine's disks would go on writing to them. */
  const mayGo = (machine: string, forced: boolean | undefined, what: string): void => {
    if (forced === true || !work.isConnected(machine)) return;
    throw new ControlError("ERR_REFUSED", `${machine} is running from its disks; shut it down first, or say --force: ${what}`);
  };
  const untilTheOther = "it then keeps its disks until the other hardware's firmware asks, and must be off by then";
  return {
    "machine.add": call(z.strictObject({ name, keys }), (input) => edit({ kind: "machine.add", ...input })),
    "machine.set": call(z.strictObject({ name, keys }), (input) => edit({ kind: "machine.set", ...input })),
    "machine.remove": call(z.strictObject({ name, force }), (input) => {
      mayGo(input.name, input.force, "it then loses its disks at once");
      return edit({ kind: "machine.remove", name: input.name });
    }),
    "machine.move": call(z.strictObject({ name, force, mac: z.array(name).min(1) }), (input) => {
      mayGo(input.name, input.force, untilTheOther);
      const mac = input.mac.length === 1 ? input.mac[0] : input.mac;
      return edit({ kind: "machine.set", name: input.name, keys: { mac } });
    }),
    "machine.swap": call(z.strictObject({ names: z.tuple([name, name]), force }), (input) => {
      for (const machine of input.names) mayGo(machine, input.force, untilTheOther);
      return edit({ kind: "machine.swap", names: input.names });
    }),
    "config.get": call(z.strictObject({ path: path.exactOptional() }), (input) =>
      toldRefusals(async (): Promise<ConfigValue> => {
        const { file, text } = work.read();
        const content: unknown = parseDocument(text, { version: "1.2", logLevel: "error" }).toJS({ maxAliasCount: 1000 });
        return { file, version: versionOf(text), value: valueAt(content, input.path ?? []) ?? null };
      }),
    ),
    "config.text": call(z.strictObject({}), () => toldRefusals(async () => work.read())),
    "config.replace": call(z.strictObject({ text: z.string().max(MAX_TEXT) }), ({ text }) => toldRefusals(() => work.replace(text))),
    "config.set": call(z.strictObject({ path: path.min(1), value: z.unknown(), version: z.string().exactOptional() }), (input) =>
      toldRefusals(async () => {
        const { file, text } = work.read();
        if (input.version !== undefined && input.version !== versionOf(text)) {
          throw new ControlError("ERR_REFUSED", `${file} has changed since it was read; look at it and try again`);
        }
        return await work.edit({ kind: "set", path: input.path, value: input.value }, text);
      }),
    ),
  };
}

function versionOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** What keeps a file from being changed is the caller's to hear; everything else is a bug of ours. */
export async function toldRefusals<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if ((cause as { readonly code?: unknown }).code !== "ERR_CONFIG_REFUSED") throw cause;
    throw new ControlError("ERR_REFUSED", (cause as Error).message, { cause });
  }
}
