import { onRootDevice } from "./bls.ts";
import { joinWords, scriptWords } from "./grub-words.ts";
import type { GrubVariables } from "./grubenv.ts";

/** What a menu entry of a generated grub.cfg boots. */
export interface ScriptEntry {
  readonly kind: "entry";
  readonly id?: string;
  readonly title: string;
  /** From its `linux` command; absent where it boots something else (a firmware menu, another system). */
  readonly linux?: string;
  readonly arguments: string;
  readonly initrds: readonly string[];
  /** The file system that its paths are on, where a `search --fs-uuid` says so. */
  readonly fsUuid?: string;
}

export interface ScriptSubmenu {
  readonly kind: "submenu";
  readonly id?: string;
  readonly title: string;
  readonly children: readonly ScriptNode[];
}

export type ScriptNode = ScriptEntry | ScriptSubmenu;

/** What is to be known of a grub.cfg without running it. */
export interface GrubScript {
  readonly menu: readonly ScriptNode[];
  /** What `set name=value` gives outside the menu, in the order of the file: the last one counts. */
  readonly assignments: readonly { readonly name: string; readonly value: string }[];
  /** It hands the menu over to the Boot Loader Specification's files. */
  readonly blscfg: boolean;
  /** The file system that it calls its root (or, in a stub on an ESP, where it goes on). */
  readonly fsUuid?: string;
  /** A stub goes on with this other configuration, on that file system. */
  readonly configfile?: string;
}

/** The largest that was seen has 30 KB. */
export const MAX_GRUB_CONFIG_BYTES: number = 512 * 1024;
const MAX_COMMANDS = 20_000;
const MAX_DEPTH = 8;

/** Before a command in the same line, without being one. */
const KEYWORD = /^(if|then|else|elif|fi|do|done|for|while|until|!)(?=[\s;]|$)\s*/;

interface Block {
  readonly commands: readonly Command[];
}

interface Command {
  readonly text: string;
  readonly block?: Block;
}

/**
 * Reads a grub.cfg that grub-mkconfig has made: its menu entries and submenus literally, conditions by looking at all their
 * branches, nothing executed. What is not understood is passed over. `variables` is what the environment block sets.
 */
export function readGrubScript(text: string, variables: GrubVariables): GrubScript {
  const budget = { commands: MAX_COMMANDS };
  const { block } = parseBlock(text.slice(0, MAX_GRUB_CONFIG_BYTES), 0, 0, budget);
  const known = new Map([["menuentry_id_option", "--id"], ["root", ""], ...variables]);
  const menu: ScriptNode[] = [];
  const assignments: { name: string; value: string }[] = [];
  let fsUuid: string | undefined;
  let configfile: string | undefined;
  let blscfg = false;
  for (const command of block.commands) {
    const node = menuNode(command, known, 0);
    if (node !== undefined) menu.push(node);
    if (command.block !== undefined) continue;
    const assignment = /^set\s+([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(command.text);
    if (assignment?.[1] !== undefined) {
      const value = scriptWords(assignment[2] ?? "", keepReferences(known))[0] ?? "";
      assignments.push({ name: assignment[1], value });
      // What is set from a literal can be used further down; what depends on a variable stays as it is written.
      if (!value.includes("${") && (variables.get(assignment[1]) ?? "") === "") known.set(assignment[1], value);
      continue;
    }
    const [name, ...args] = scriptWords(command.text, known);
    if (name === "blscfg") blscfg = true;
    if (name === "configfile" && args[0] !== undefined) configfile = onRootDevice(args[0]);
    // What is searched for behind blscfg is for others.
    if (!blscfg) fsUuid = searchedUuid(name, args) ?? fsUuid;
  }
  return { menu, assignments, blscfg, ...(fsUuid === undefined ? {} : { fsUuid }), ...(configfile === undefined ? {} : { configfile }) };
}

/** `${saved_entry}` must survive, so that whoever reads the assignment knows where its value is from. */
function keepReferences(known: GrubVariables): GrubVariables {
  const kept = new Map(known);
  for (const name of ["saved_entry", "next_entry"]) kept.set(name, reference(name));
  return kept;
}

/** How a variable stands in a script. */
export function reference(name: string): string {
  return `\${${name}}`;
}

/** The last value of `name` that is neither empty nor taken from next_entry. */
export function lastAssigned(script: GrubScript, name: string): string | undefined {
  return script.assignments.findLast((each) => each.name === name && each.value !== "" && each.value !== reference("next_entry"))?.value;
}

function menuNode(command: Command, variables: GrubVariables, depth: number): ScriptNode | undefined {
  const { block } = command;
  if (block === undefined || depth > MAX_DEPTH) return undefined;
  const [name, ...words] = scriptWords(command.text, variables);
  if (name !== "menuentry" && name !== "submenu") return undefined;
  const { title, id } = headOf(words);
  const shared = { title, ...(id === undefined ? {} : { id }) };
  if (name === "submenu") {
    const children = block.commands.map((each) => menuNode(each, variables, depth + 1)).filter((each) => each !== undefined);
    return { kind: "submenu", ...shared, children };
  }
  return { kind: "entry", ...shared, ...bodyOf(block, variables) };
}

/** Options with a value: --class, --users, --hotkey, --id, --source. */
function headOf(words: readonly string[]): { readonly title: string; readonly id?: string } {
  let title: string | undefined;
  let id: string | undefined;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    const [, option, value] = /^--(class|users|hotkey|id|source)(?:=(.*))?$/.exec(word) ?? [];
    if (option !== undefined) {
      const given = value ?? words[++index];
      if (option === "id") id = given;
    } else if (!word.startsWith("--")) {
      title ??= word;
    }
  }
  return { title: title ?? "", ...(id === undefined ? {} : { id }) };
}

function bodyOf(block: Block, variables: GrubVariables): Omit<ScriptEntry, "kind" | "title" | "id"> {
  let linux: string | undefined;
  let line = "";
  let initrds: readonly string[] = [];
  let fsUuid: string | undefined;
  for (const command of block.commands) {
    const [name, ...args] = scriptWords(command.text, variables);
    if (/^linux(16|efi)?$/.test(name ?? "") && args[0] !== undefined) {
      linux = onRootDevice(args[0]);
      line = joinWords(args.slice(1));
    } else if (/^initrd(16|efi)?$/.test(name ?? "")) {
      initrds = args.map(onRootDevice);
    }
    fsUuid = searchedUuid(name, args) ?? fsUuid;
  }
  return {
    arguments: line,
    initrds,
    ...(linux === undefined ? {} : { linux }),
    ...(fsUuid === undefined ? {} : { fsUuid }),
  };
}

/** `search --no-floppy --fs-uuid --set=root [--hint-...] UUID` and `search.fs_uuid UUID root [hints]`. */
function searchedUuid(name: string | undefined, args: readonly string[]): string | undefined {
  if (name === "search.fs_uuid") return uuidOf(args[0]);
  if (name !== "search" || !args.some((word) => word === "--fs-uuid" || word === "-u")) return undefined;
  return uuidOf(args.findLast((word) => !word.startsWith("-")));
}

function uuidOf(word: string | undefined): string | undefined {
  return word !== undefined && /^[0-9A-Fa-f-]{4,40}$/.test(word) ? word : undefined;
}

/** Commands up to the brace that closes the block, or the end of the text. */
function parseBlock(
  text: string,
  from: number,
  depth: number,
  budget: { commands: number },
): { readonly block: Block; readonly end: number } {
  const commands: Command[] = [];
  let start = from;
  let at = from;
  const finish = (end: number, block?: Block): void => {
    let command = text.slice(start, end).trim();
    while (KEYWORD.test(command)) command = command.replace(KEYWORD, "");
    if (command === "" || budget.commands <= 0) return;
    budget.commands--;
    commands.push({ text: command, ...(block === undefined ? {} : { block }) });
  };
  // What cannot part commands is passed over in one go: quoted text, escapes, variables in braces, comments, plain text.
  const token = /'[^']*'?|"(?:\\[\s\S]|[^"\\])*"?|\\[\s\S]?|\$\{[^}\n]*\}?|(?<![^\s;])#[^\n]*|[{}\n;]|[^'"\\$#{}\n;]+|[\s\S]/gy;
  for (;;) {
    token.lastIndex = at;
    const piece = token.exec(text)?.[0];
    if (piece === undefined) break;
    at += piece.length;
    if (piece.startsWith("#") && piece.length > 1) {
      finish(at - piece.length);
      start = at;
    } else if (piece === "\n" || piece === ";") {
      finish(at - 1);
      start = at;
    } else if (piece === "}") {
      finish(at - 1);
      if (depth > 0) return { block: { commands }, end: at };
      start = at;
    } else if (piece === "{" && depth < MAX_DEPTH) {
      const head = at - 1;
      const inner = parseBlock(text, at, depth + 1, budget);
      finish(head, inner.block);
      at = inner.end;
      start = at;
    }
  }
  finish(at);
  return { block: { commands }, end: at };
}
