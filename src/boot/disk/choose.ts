import { reference } from "./grub-script.ts";
import { type GrubVariables, nextEntryKey } from "./grubenv.ts";

/** A menu as GRUB numbers it: entries and submenus with theirs. */
export interface MenuItem {
  readonly id?: string;
  readonly title: string;
  readonly children?: readonly MenuItem[];
}

export type ChoiceReason =
  /** next_entry, for this boot only. */
  | "next-entry"
  /** What grubenv or grub.cfg names. */
  | "named"
  /** Nothing is named, or what is named is not there: GRUB takes the first, which is the newest. */
  | "first";

export interface Choice {
  /** From the top of the menu down; the last one is an entry. */
  readonly path: readonly number[];
  readonly because: ChoiceReason;
  /** Present where this boot is what next_entry was for: to be remembered by its key, so that it is used once. */
  readonly nextEntry?: { readonly value: string; readonly key: string };
}

export interface ChoiceInput {
  readonly menu: readonly MenuItem[];
  readonly variables: GrubVariables;
  /** What grub.cfg's `set default=` says; saved_entry where there is no grub.cfg that says anything. */
  readonly configured?: string;
  /** The key of the next_entry that has been used already. */
  readonly usedNextEntry?: string | undefined;
}

/** Which entry the disk's own GRUB would start, had it been able to erase next_entry when it was used. */
export function chooseDefault({ menu, variables, configured, usedNextEntry }: ChoiceInput): Choice {
  const next = variables.get("next_entry") ?? "";
  const key = nextEntryKey(variables);
  if (next !== "" && key !== usedNextEntry) {
    const path = findItem(menu, next);
    // GRUB uses it up whether or not there is such an entry.
    return { path: firstEntry(menu, path ?? [0]), because: path === undefined ? "first" : "next-entry", nextEntry: { value: next, key } };
  }
  const wanted = (configured ?? reference("saved_entry")).replace(reference("saved_entry"), variables.get("saved_entry") ?? "");
  const path = wanted === "" ? undefined : findItem(menu, wanted);
  return { path: firstEntry(menu, path ?? [0]), because: path === undefined ? "first" : "named" };
}

/**
 * GRUB's rules: `>` goes down into a submenu (`>>` is the character itself); an item is meant by its identifier, up to the
 * first blank, else by its whole title, else by its number from 0.
 */
export function findItem(menu: readonly MenuItem[], wanted: string): readonly number[] | undefined {
  const [, head = "", tail] = /^((?:[^>]|>>)*)(?:>([\s\S]*))?$/.exec(wanted) ?? [];
  const name = head.replaceAll(">>", ">");
  const word = name.split(/\s/, 1)[0] ?? "";
  let index = menu.findIndex((item) => item.id !== undefined && word !== "" && item.id === word);
  if (index < 0) index = menu.findIndex((item) => item.title === name);
  if (index < 0) index = numberOf(name);
  const item = menu[index];
  if (item === undefined) return undefined;
  if (tail === undefined || item.children === undefined) return [index];
  return [index, ...(findItem(item.children, tail) ?? [0])];
}

/** As strtoul with base 0: decimal, 0x hexadecimal, 0 octal. */
function numberOf(text: string): number {
  const [, number] = /^\s*(0x[0-9a-f]+|[0-9]+)(?:\s|$)/i.exec(text) ?? [];
  if (number === undefined) return -1;
  return /^0[0-7]+$/.test(number) ? Number.parseInt(number, 8) : Number(number);
}

/** A submenu that is a default opens, and its own first entry is started. */
function firstEntry(menu: readonly MenuItem[], path: readonly number[]): readonly number[] {
  let items: readonly MenuItem[] | undefined = menu;
  for (const index of path) items = items?.[index]?.children;
  return items === undefined || items.length === 0 ? path : firstEntry(menu, [...path, 0]);
}
