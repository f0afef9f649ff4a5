import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
} from "yaml";
import type { Config } from "./config.ts";
import { buildConfig } from "./config-build.ts";
import { noticesOf } from "./config-notices.ts";
import { formatPath, type Issue, issuesOf, type KeyPath } from "./config-problems.ts";
import { checkShape } from "./config-schema.ts";
import type { MachineName } from "./identifiers.ts";
import { type ChapSecrets, chapSecrets, type Secrets } from "./secrets.ts";

/** Where something stands. `line` and `column` count from 1; 0 means the file as a whole. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** `machines.uqbar.mac[0]`; empty for the file as a whole. */
  readonly key: string;
}

/** One thing in the way of using a file. */
export interface Problem extends Place {
  readonly found: string;
  readonly allowed: string;
}

/** Something that does not stand in the way, and that a person may want to know. */
export interface Notice extends Place {
  readonly message: string;
}

export type ConfigReading =
  | {
      readonly ok: true;
      readonly file: string;
      readonly config: Config;
      /** CHAP, for the machines that ask for it. */
      readonly secrets: Secrets;
      readonly notices: readonly Notice[];
    }
  | { readonly ok: false; readonly file: string; readonly problems: readonly Problem[] };

/** A rack of thousands of machines needs a tenth of it. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** After these, a person starts again from the top. */
const MAX_PROBLEMS = 50;
const MAX_FOUND_CHARACTERS = 80;

/** Reads and checks rackboot.yaml and the secrets file it names. Never throws for what stands in them or on the disk. */
export function readConfig(file: string): ConfigReading {
  const source = readSource(file);
  if ("found" in source) return { ok: false, file, problems: [source] };
  return parseConfig(source.text, file);
}

/** {@link readConfig} for text that is at hand; `file` names it in problems and is what relative paths are relative to. */
export function parseConfig(text: string, file: string): ConfigReading {
  const source = new YamlSource(file, text);
  if (source.problems.length > 0) return refused(file, source.problems);
  const content = withoutEmptyKeys(source.content);
  const shape = checkShape(content);
  if (!shape.ok) return refused(file, source.problemsOf(issuesOf(shape.issues, content)));
  const { config, issues } = buildConfig(shape.file, dirname(resolve(file)), process.env["RACKBOOT_STORAGE"]);
  if (issues.length > 0) return refused(file, source.problemsOf(issues));
  const secrets = readSecrets(config, source);
  if ("problems" in secrets) return refused(file, secrets.problems);
  const notices = noticesOf(content, config).map(({ path, message }): Notice => ({ ...source.place(path, false), message }));
  return { ok: true, file, config, secrets: secrets.secrets, notices: inOrder(notices) };
}

/** `rackboot.yaml:12:14: machines.uqbar.address: found 172.16.0.300; allowed: an IPv4 address such as 172.16.0.1`. */
export function formatProblem(problem: Problem): string {
  return `${formatPlace(problem)}: found ${problem.found}; allowed: ${problem.allowed}`;
}

export function formatNotice(notice: Notice): string {
  return `${formatPlace({ ...notice, key: "" })}: ${notice.message}`;
}

function formatPlace({ file, line, column, key }: Place): string {
  return `${file}${line > 0 ? `:${line}:${column}` : ""}${key === "" ? "" : `: ${key}`}`;
}

function refused(file: string, problems: readonly Problem[]): ConfigReading {
  return { ok: false, file, problems: inOrder(problems).slice(0, MAX_PROBLEMS) };
}

function inOrder<T extends Place>(places: readonly T[]): readonly T[] {
  return places.toSorted((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : 0));
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "a file that this user may not read",
  EISDIR: "a folder",
  ENOTDIR: "a path through something that is no folder",
};

function readSource(file: string): { readonly text: string; readonly mode: number } | Problem {
  const whole = { file, line: 0, column: 0, key: "" };
  try {
    const { size, mode } = statSync(file);
    if (size > MAX_FILE_BYTES) return { ...whole, found: `${size} octets`, allowed: `at most ${MAX_FILE_BYTES} octets` };
    return { text: readFileSync(file, "utf8"), mode };
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    return { ...whole, found: SYSTEM_ERRORS[code] ?? message, allowed: "a YAML file that can be read" };
  }
}

/** An empty value stands for the default, so that `dns:` with nothing behind it is as good as no `dns`. */
function withoutEmptyKeys(content: unknown, path: KeyPath = []): unknown {
  if (content === null && path.length === 0) return {};
  if (Array.isArray(content)) return content.map((item, index) => withoutEmptyKeys(item, [...path, index]));
  if (typeof content !== "object" || content === null) return content;
  // `uqbar:` under machines is a machine that lacks everything, not the absence of one.
  const named = path.length === 1 && (path[0] === "machines" || path[0] === "volumes");
  const entries = Object.entries(content).flatMap(([key, value]): [string, unknown][] => {
    if (value === null) return named ? [[key, {}]] : [];
    return [[key, withoutEmptyKeys(value, [...path, key])]];
  });
  return Object.fromEntries(entries);
}

/** A YAML text that knows where each of its values stands. */
class YamlSource {
  readonly #file: string;
  readonly #text: string;
  readonly #confidential: boolean;
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed<ParsedNode>;
  /** The file as plain data; meaningful when there are no problems. */
  readonly content: unknown;
  readonly problems: readonly Problem[];

  /** Of a confidential file, no problem shows what stands in it. */
  constructor(file: string, text: string, confidential = false) {
    this.#file = file;
    this.#confidential = confidential;
    this.#text = text;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, logLevel: "error", version: "1.2" });
    // One slip makes the parser stumble again and again: the first of each kind is the one to mend.
    const problems = [...this.#document.errors, ...this.#document.warnings]
      .map((error): Problem => ({ ...this.#at(error.pos[0], ""), ...yamlProblem(error.code, confidential ? error.code : error.message) }))
      .filter((problem, index, all) => all.findIndex((other) => other.found === problem.found) === index);
    try {
      this.content = problems.length === 0 ? this.#document.toJS({ maxAliasCount: 1000 }) : undefined;
    } catch (error) {
      problems.push({
        file,
        line: 0,
        column: 0,
        key: "",
        found: (error as Error).message,
        allowed: "anchors and aliases that lead somewhere",
      });
    }
    this.problems = problems;
  }

  /** Of each key, what is wrong first: the rest mostly follows from it. */
  problemsOf(issues: readonly Issue[]): readonly Problem[] {
    const first = new Map<string, Issue>();
    for (const issue of issues) {
      const key = formatPath(issue.path);
      if (!first.has(key)) first.set(key, issue);
    }
    return [...first.values()].map((issue) => {
      const place = this.place(issue.path, issue.onKey === true);
      return { ...place, found: issue.found ?? this.#written(issue.path), allowed: issue.allowed };
    });
  }

  /** Of the value at `path` (or its key); of what is nearest around it where there is none. */
  place(path: KeyPath, onKey: boolean): Place {
    const steps = this.#walk(path);
    const last = steps.at(-1);
    const complete = steps.length === path.length;
    const node = complete && !onKey && isScalar(last?.value) ? last?.value : (last?.key ?? last?.value);
    return this.#at(node?.range?.[0] ?? 0, formatPath(path));
  }

  /** What a person wrote at `path`. */
  #written(path: KeyPath): string {
    const steps = this.#walk(path);
    const node = path.length === 0 ? this.#document.contents : steps.at(-1)?.value;
    if (steps.length < path.length || node === null || node === undefined) return "nothing";
    if (isMap(node)) return "a mapping";
    if (isSeq(node)) return "a list";
    if (this.#confidential) return isScalar(node) ? `${String(node.value).length} characters` : "something else";
    const [start, end] = node.range ?? [0, 0];
    const text = this.#text.slice(start, end).split("\n", 1)[0]?.trim() ?? "";
    if (text === "") return "nothing";
    return text.length > MAX_FOUND_CHARACTERS ? `${text.slice(0, MAX_FOUND_CHARACTERS)}...` : text;
  }

  /** One step for each part of the path that exists. */
  #walk(path: KeyPath): readonly { readonly key?: Node; readonly value?: Node }[] {
    const steps: { key?: Node; value?: Node }[] = [];
    let node: unknown = this.#document.contents;
    for (const part of path) {
      const container: unknown = isAlias(node) ? node.resolve(this.#document) : node;
      if (isMap(container)) {
        const pair = container.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part));
        if (pair === undefined) break;
        steps.push({ ...(isNode(pair.key) && { key: pair.key }), ...(isNode(pair.value) && { value: pair.value }) });
        node = pair.value;
      } else if (isSeq(container) && typeof part === "number" && part < container.items.length) {
        node = container.items[part];
        steps.push(isNode(node) ? { value: node } : {});
      } else break;
    }
    return steps;
  }

  #at(offset: number, key: string): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1), key };
  }
}

/** The commonest slips in our own words; the parser's for the rest. */
function yamlProblem(code: string, message: string): { readonly found: string; readonly allowed: string } {
  switch (code) {
    case "DUPLICATE_KEY":
      return { found: "the same key a second time", allowed: "every key once" };
    case "TAB_AS_INDENT":
      return { found: "a tab", allowed: "spaces for indentation" };
    case "BAD_INDENT":
    case "BLOCK_AS_IMPLICIT_KEY":
    case "MULTILINE_IMPLICIT_KEY":
      return { found: "a mapping that is not indented as it began", allowed: "the same indentation for all keys of one mapping" };
    default:
      return { found: `text that is not YAML (${message})`, allowed: "YAML 1.2" };
  }
}

/** Group and others have no business with secrets. */
const OTHERS_MAY = 0o077;

function readSecrets(config: Config, yaml: YamlSource): { readonly secrets: Secrets } | { readonly problems: readonly Problem[] } {
  const secrets = new Map<MachineName, ChapSecrets>();
  const wanted = config.machines.filter((machine) => machine.chap);
  const file = config.iscsi.secrets;
  if (wanted.length === 0 || file === undefined) return { secrets };
  const source = readSource(file);
  if ("found" in source)
    return { problems: [{ ...yaml.place(["iscsi", "secrets"], false), found: `${file}: ${source.found}`, allowed: source.allowed }] };
  if ((source.mode & OTHERS_MAY) !== 0) {
    const found = `mode ${(source.mode & 0o777).toString(8).padStart(4, "0")}`;
    return { problems: [{ file, line: 0, column: 0, key: "", found, allowed: `mode 0600: run chmod 600 ${file}` }] };
  }
  const entries = new YamlSource(file, source.text, true);
  if (entries.problems.length > 0) return { problems: entries.problems };
  const content = (withoutEmptyKeys(entries.content) ?? {}) as Readonly<Record<string, unknown>>;
  const problems: Problem[] = [];
  for (const machine of wanted) {
    const entry = Object.hasOwn(content, machine.name) ? content[machine.name] : undefined;
    if (entry === undefined) {
      const found = `true, without an entry ${machine.name} in ${file}`;
      problems.push({
        ...yaml.place(["machines", machine.name, "chap"], false),
        found,
        allowed: "false, or { user, secret } for it there",
      });
      continue;
    }
    const result = chapSecrets.safeParse(entry);
    if (result.success) secrets.set(machine.name, result.data);
    else problems.push(...entries.problemsOf(issuesOf(result.error.issues, content, [machine.name])));
  }
  return problems.length > 0 ? { problems } : { secrets };
}
