import type { z } from "zod";
import { jsonSchema } from "./config-schema.ts";

/** The keys and indexes from the file's root to a value. */
export type KeyPath = readonly (string | number)[];

/** Something that is not allowed, before it is known on which line it stands. */
export interface Issue {
  readonly path: KeyPath;
  /** Completes "allowed: ...". */
  readonly allowed: string;
  /** Completes "found ..."; absent: the value as it stands in the file. */
  readonly found?: string;
  /** It is the key that is wrong, not its value. */
  readonly onKey?: boolean;
}

/** `machines.uqbar.mac[0]`. */
export function formatPath(path: KeyPath): string {
  return path.map((part, index) => (typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${part}`)).join("");
}

/** The other way: `volumes."rhel-8.10".size`, a name with dots in quotes. Undefined for what is no path. */
export function parsePath(text: string): KeyPath | undefined {
  const part = /(?:^|\.)(?:"([^"]+)"|([^.[\]"]+))|\[(\d+)\]/y;
  const path: (string | number)[] = [];
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (match === null) return undefined;
    const [, quoted, plain, index] = match;
    path.push(quoted ?? plain ?? Number(index));
  }
  return path.length === 0 ? undefined : path;
}

/** The value at `path` of plain data; undefined where there is none. */
export function valueAt(content: unknown, path: KeyPath): unknown {
  let value = content;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

type ZodIssue = z.core.$ZodIssue;

/** What zod says about `content`, in terms of what is allowed. */
export function issuesOf(issues: readonly ZodIssue[], content: unknown, base: KeyPath = []): readonly Issue[] {
  return issues.flatMap((issue) => issuesOfOne(issue, content, base));
}

function issuesOfOne(issue: ZodIssue, content: unknown, base: KeyPath): readonly Issue[] {
  const path: KeyPath = [...base, ...issue.path.map((part) => (typeof part === "number" ? part : String(part)))];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => ({ path: [...path, key], found: "an unknown key", allowed: keysAllowed(path, key), onKey: true }));
    case "invalid_key":
      return [{ path, found: `the name "${path.at(-1)}"`, allowed: issue.issues[0]?.message ?? issue.message, onKey: true }];
    case "invalid_union": {
      const branch = closestBranch(issue.errors, valueAt(content, path));
      return branch === undefined ? [{ path, allowed: issue.message }] : issuesOf(branch, content, path);
    }
    default: {
      const found: unknown = issue.code === "custom" ? issue.params?.["found"] : undefined;
      return [{ path, allowed: issue.message, ...(typeof found === "string" && { found }) }];
    }
  }
}

/**
 * Of the shapes that a value may have, the one that its author meant: the only list, or the mapping that it shares most
 * keys with. Undefined: nobody can tell, and all shapes are named instead.
 */
function closestBranch(branches: readonly (readonly ZodIssue[])[], value: unknown): readonly ZodIssue[] | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const keys = Array.isArray(value) ? 1 : Object.keys(value).length;
  const misfits = (branch: readonly ZodIssue[]): number =>
    branch.reduce((count, issue) => count + (issue.code === "unrecognized_keys" ? issue.keys.length : 0), 0);
  const sameType = branches.filter((branch) => {
    return !branch.some((issue) => issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value"));
  });
  if (sameType.length === 1) return sameType[0];
  const likely = sameType.filter((branch) => misfits(branch) < keys);
  return likely.toSorted((a, b) => misfits(a) - misfits(b) || a.length - b.length)[0];
}

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

/** Made when the first unknown key is found. */
let schema: SchemaNode | undefined;

/** What may stand where an unknown key was found, the likeliest first. */
function keysAllowed(path: KeyPath, key: string): string {
  schema ??= jsonSchema() as SchemaNode;
  const known = knownKeys(schema, path);
  const likely = closest(key, known);
  if (likely !== undefined) return `${likely} (did you mean that?)`;
  return known.length === 0 ? "no such key here" : known.join(", ");
}

function knownKeys(root: SchemaNode, path: KeyPath): readonly string[] {
  const alternatives = (node: SchemaNode): readonly SchemaNode[] => [node, ...(node.anyOf ?? []).flatMap(alternatives)];
  let nodes = alternatives(root);
  for (const part of path) {
    nodes = nodes
      .flatMap((node) => {
        const next = typeof part === "number" ? node.items : (node.properties?.[part] ?? node.additionalProperties);
        return typeof next === "object" ? [next] : [];
      })
      .flatMap(alternatives);
  }
  return [...new Set(nodes.flatMap((node) => Object.keys(node.properties ?? {})))];
}

/** The word that a typing slip away from `wrong`; undefined if none is near. */
export function closest(wrong: string, words: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wrong.length / 3)) + 1;
  for (const word of words) {
    const distance = editDistance(wrong.toLowerCase(), word.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [word, distance];
  }
  return best;
}

/** Levenshtein: insertions, deletions and substitutions. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
