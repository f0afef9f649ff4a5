import { isDeepStrictEqual } from "node:util";
import { type Document, isAlias, isCollection, isMap, isPair, isScalar, type Pair, parseDocument, stringify, type YAMLMap } from "yaml";
import type { KeyPath } from "./config-problems.ts";

/** One value of a YAML text that becomes another; `undefined` takes its key away. */
export interface Splice {
  readonly path: KeyPath;
  readonly value: unknown;
}

/** The text is written in a way that cannot be changed without touching more than was asked for. */
export class SpliceError extends Error {
  readonly code = "ERR_SPLICE";
  readonly path: KeyPath;
  /** From the start of the text, in characters. */
  readonly offset: number;

  constructor(path: KeyPath, offset: number, found: string) {
    super(found);
    this.path = path;
    this.offset = offset;
  }
}

/**
 * Changes one value of a YAML 1.2 text and leaves every other character as it was: comments, blank lines, quotes and
 * columns are a person's. `text` must parse. What the result says is compared with what it should say, so that a layout
 * that nobody thought of is a {@link SpliceError} and never a wrong file.
 */
export function spliceYaml(text: string, { path, value }: Splice): string {
  const document = parseDocument(text, { keepSourceTokens: true, version: "1.2" });
  const before: unknown = document.toJS({ maxAliasCount: 1000 });
  const after = withValue(before, path, value);
  if (isDeepStrictEqual(before, after)) return text;
  const result = splice(text, document, path, value);
  const parsed = parseDocument(result, { version: "1.2", logLevel: "error" });
  const good = parsed.errors.length === 0 && isDeepStrictEqual(withoutNulls(parsed.toJS({ maxAliasCount: 1000 })), withoutNulls(after));
  if (!good) throw new SpliceError(path, 0, "a layout that cannot be changed from here");
  return result;
}

function splice(text: string, document: Document.Parsed, path: KeyPath, value: unknown): string {
  let container: unknown = document.contents;
  for (const [depth, key] of path.entries()) {
    const here = path.slice(0, depth + 1);
    if (container === null || (isScalar(container) && container.value === null)) {
      return value === undefined ? text : fillEmpty(text, document, path.slice(0, depth), nested(path.slice(depth), value));
    }
    if (isAlias(container)) throw new SpliceError(here, container.range?.[0] ?? 0, `an alias, *${container.source}`);
    if (!isMap(container)) throw new SpliceError(here, offsetOf(container), "something that is no mapping");
    const pair = findPair(container, key);
    if (pair === undefined) return value === undefined ? text : addKey(text, container, nested(path.slice(depth), value));
    // What has a name may stand in other places as well.
    if (isAlias(pair.value)) throw new SpliceError(here, offsetOf(pair.value), `an alias, *${pair.value.source}`);
    if ((isScalar(pair.value) || isCollection(pair.value)) && pair.value.anchor !== undefined) {
      throw new SpliceError(here, offsetOf(pair.value), `an anchor, &${pair.value.anchor}`);
    }
    if (depth === path.length - 1) return value === undefined ? removePair(text, container, pair) : setValue(text, pair, value);
    container = pair.value;
  }
  throw new SpliceError(path, 0, "no key");
}

function findPair(map: YAMLMap, key: string | number): Pair | undefined {
  return map.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(key));
}

/** A value that exists, or is empty: everything after the colon that belongs to it. */
function setValue(text: string, pair: Pair, value: unknown): string {
  const colon = afterColon(pair);
  const { value: node } = pair;
  const isInline = isScalar(node) ? node.value !== null : isCollection(node) && node.flow === true;
  const start = isInline ? offsetOf(node) : colon;
  const end = isInline ? lastEnd(text, pair) : Math.max(colon, lastEnd(text, pair));
  return `${text.slice(0, start)}${isInline ? "" : " "}${flow(value)}${text.slice(end)}`;
}

/** `key:` with nothing behind it, or an empty text: the mapping goes below, at the depth that its place asks for. */
function fillEmpty(text: string, document: Document.Parsed, path: KeyPath, content: Readonly<Record<string, unknown>>): string {
  const pair = pairAt(document, path);
  if (pair === undefined) return `${text === "" || text.endsWith("\n") ? text : `${text}\n`}${block(content, "")}`;
  const parent = path.length === 1 ? document.contents : pairAt(document, path.slice(0, -1))?.value;
  if (isMap(parent) && parent.flow === true) return setValue(text, pair, content);
  const indent = `${indentOf(text, offsetOf(pair.key))}  `;
  return insertLines(text, afterColon(pair), block(content, indent));
}

function pairAt(document: Document.Parsed, path: KeyPath): Pair | undefined {
  let node: unknown = document.contents;
  let pair: Pair | undefined;
  for (const key of path) {
    pair = isMap(node) ? findPair(node, key) : undefined;
    node = pair?.value;
  }
  return pair;
}

function addKey(text: string, map: YAMLMap, content: Readonly<Record<string, unknown>>): string {
  const last = map.items.at(-1);
  if (map.flow === true) {
    const inside = flow(content).slice(1, -1).trim();
    if (last === undefined) return `${text.slice(0, offsetOf(map))}{ ${inside} }${text.slice(map.range?.[1] ?? 0)}`;
    const end = lastEnd(text, last);
    return `${text.slice(0, end)}, ${inside}${text.slice(end)}`;
  }
  if (last === undefined) throw new SpliceError([], offsetOf(map), "an empty mapping");
  // As its neighbour is written: on one line, or a key a line.
  const oneLine = isMap(last.value) && last.value.flow === true;
  const indent = indentOf(text, offsetOf(last.key));
  return insertLines(text, lastEnd(text, last), oneLine ? keyLines(content, indent, flow) : block(content, indent));
}

/** A pair with what stands on its lines. Comments above it stay: they are a person's to take away. */
function removePair(text: string, map: YAMLMap, pair: Pair): string {
  const index = map.items.indexOf(pair);
  const start = offsetOf(pair.key);
  const end = lastEnd(text, pair);
  if (map.flow === true) {
    const next = map.items[index + 1];
    const previous = map.items[index - 1];
    if (next !== undefined) return text.slice(0, start) + text.slice(offsetOf(next.key));
    if (previous !== undefined) return text.slice(0, lastEnd(text, previous)) + text.slice(end);
    return `${text.slice(0, offsetOf(map))}{}${text.slice(map.range?.[1] ?? 0)}`;
  }
  return text.slice(0, lineStart(text, start)) + text.slice(lineEnd(text, end));
}

/** Where the colon of a pair ends. */
function afterColon(pair: Pair): number {
  const token = (pair.srcToken?.sep ?? []).find(({ type }) => type === "map-value-ind");
  return token === undefined ? lastOf(pair.key) : token.offset + 1;
}

/** The last character that is part of a pair or a value, without the comments and blank lines behind it. */
function lastEnd(text: string, item: unknown): number {
  if (isPair(item)) {
    const isEmpty = item.value === null || (isScalar(item.value) && item.value.value === null && item.value.source === "");
    return isEmpty ? afterColon(item) : lastEnd(text, item.value);
  }
  if (isCollection(item) && item.flow !== true && item.items.length > 0) return lastEnd(text, item.items.at(-1));
  let end = lastOf(item);
  while (end > 0 && /\s/.test(text[end - 1] ?? "")) end--;
  return end;
}

function offsetOf(node: unknown): number {
  return isScalar(node) || isCollection(node) || isAlias(node) ? (node.range?.[0] ?? 0) : 0;
}

function lastOf(node: unknown): number {
  return isScalar(node) || isCollection(node) || isAlias(node) ? (node.range?.[1] ?? 0) : 0;
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf("\n", offset - 1) + 1;
}

function lineEnd(text: string, offset: number): number {
  const end = text.indexOf("\n", offset);
  return end < 0 ? text.length : end + 1;
}

function indentOf(text: string, offset: number): string {
  return " ".repeat(offset - lineStart(text, offset));
}

/** Below the line that `offset` stands on. */
function insertLines(text: string, offset: number, lines: string): string {
  const end = lineEnd(text, offset);
  const head = text.slice(0, end);
  return `${head === "" || head.endsWith("\n") ? head : `${head}\n`}${lines}${text.slice(end)}`;
}

function nested(path: KeyPath, value: unknown): Readonly<Record<string, unknown>> {
  return path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Readonly<Record<string, unknown>>;
}

function keyLines(content: Readonly<Record<string, unknown>>, indent: string, write: (value: unknown) => string): string {
  return entriesOf(content)
    .map(([key, value]) => `${indent}${flow(key)}: ${write(value)}\n`)
    .join("");
}

/** Mappings a key a line, everything inside lists on one. */
function block(content: Readonly<Record<string, unknown>>, indent: string): string {
  return entriesOf(content)
    .map(([key, value]) => {
      const isNested = typeof value === "object" && value !== null && !Array.isArray(value) && entriesOf(value).length > 0;
      return isNested
        ? `${indent}${flow(key)}:\n${block(value as Readonly<Record<string, unknown>>, `${indent}  `)}`
        : `${indent}${flow(key)}: ${flow(value)}\n`;
    })
    .join("");
}

/** On one line, fit to stand inside brackets; text that YAML 1.1 would take for something else is quoted. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = entriesOf(value).map(([key, item]) => `${flow(key)}: ${flow(item)}`);
    return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
  }
  const options = { collectionStyle: "flow", flowCollectionPadding: false, lineWidth: 0, compat: "yaml-1.1" } as const;
  return stringify([value], options).trim().slice(1, -1);
}

function entriesOf(content: object): readonly (readonly [string, unknown])[] {
  return Object.entries(content).filter(([, value]) => value !== undefined);
}

/** What the plain data become. */
function withValue(content: unknown, [key, ...rest]: KeyPath, value: unknown): unknown {
  if (key === undefined) return value;
  const map = typeof content === "object" && content !== null ? (content as Readonly<Record<string, unknown>>) : {};
  const inner = rest.length === 0 || Object.hasOwn(map, key) || value !== undefined ? withValue(own(map, key), rest, value) : undefined;
  const { [key]: _, ...others } = map;
  if (inner === undefined) return others;
  return Object.hasOwn(map, key)
    ? Object.fromEntries(Object.entries(map).map(([k, v]) => [k, k === String(key) ? inner : v]))
    : { ...map, [key]: inner };
}

function own(map: Readonly<Record<string, unknown>>, key: string | number): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

/** A key without a value and an empty mapping are the same as none, wherever the last key of a mapping was taken away. */
function withoutNulls(content: unknown): unknown {
  if (Array.isArray(content)) return content.map(withoutNulls);
  if (typeof content !== "object" || content === null) return content;
  const entries = Object.entries(content).map(([key, value]) => [key, withoutNulls(value)] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== null && value !== undefined && !isDeepStrictEqual(value, {})));
}
