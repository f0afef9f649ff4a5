import { createHash } from "node:crypto";

/** GRUB's variables, as its scripts see them. */
export type GrubVariables = ReadonlyMap<string, string>;

const SIGNATURE = "# GRUB Environment Block\n";
/** grub-editenv makes 1024 octets; GRUB itself reads any length. */
export const MAX_GRUBENV_BYTES: number = 64 * 1024;
const MAX_VARIABLES = 256;

export type GrubEnvironment = { readonly variables: GrubVariables } | { readonly reason: string };

/**
 * An environment block: the signature line, `name=value` lines, and `#` to the end. `\` takes the meaning from the next
 * octet, so that a value can hold a line end. A block that ends within a line is read up to there, as GRUB does.
 */
export function parseGrubenv(octets: Uint8Array): GrubEnvironment {
  const text = new TextDecoder().decode(octets);
  if (!text.startsWith(SIGNATURE)) return { reason: "grubenv does not begin with GRUB's signature, so GRUB ignores it" };
  if (octets.length > MAX_GRUBENV_BYTES) return { reason: `grubenv has more than ${MAX_GRUBENV_BYTES} octets` };
  const variables = new Map<string, string>();
  // One line at a time: either filling, or a name, or what is neither.
  const line = /#[^\n]*\n?|([^=\n#][^=\n]*)=((?:\\[\s\S]|[^\\\n])*)(?:\n|$)|[^\n]*\n?/y;
  for (line.lastIndex = SIGNATURE.length; line.lastIndex < text.length; ) {
    const [whole = "", name, value] = line.exec(text) ?? [];
    if (whole === "") break;
    if (name === undefined || value === undefined) continue;
    if (variables.size >= MAX_VARIABLES) return { reason: `grubenv has more than ${MAX_VARIABLES} variables` };
    variables.set(name, value.replaceAll(/\\([\s\S])/g, "$1"));
  }
  return { variables };
}

/** What a running system changes in grubenv at every boot; a one-time entry is the same one whatever these say. */
const VOLATILE = /^boot_(success|indeterminate|counter)$|^menu_show_once/;

/**
 * Names one request for a one-time entry. GRUB would erase next_entry from the disk when it has served it; the live disk is
 * never written here, so the request is remembered by what grubenv held when it was served. It is a new request as soon as
 * anything else in grubenv differs.
 */
export function nextEntryKey(variables: GrubVariables): string {
  const lasting = [...variables].filter(([name]) => !VOLATILE.test(name)).sort(([left], [right]) => (left < right ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(lasting)).digest("hex");
}
