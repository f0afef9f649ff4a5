import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseConfig } from "../../src/machine/config-file.ts";
import { jsonSchema } from "../../src/machine/config-schema.ts";

const docs = join(import.meta.dirname, "../../docs");

it("editors get the schema that the daemon checks with (vitest -u writes it anew)", async () => {
  await expect(`${JSON.stringify(jsonSchema(), null, 2)}\n`).toMatchFileSnapshot(join(docs, "rackboot.schema.json"));
});

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** Every key of the file, with `NAME` for keys that people choose. */
function keysOf(node: Node, path: readonly string[] = []): readonly string[] {
  const below = [
    ...Object.entries(node.properties ?? {}).flatMap(([key, value]) => [[...path, key].join("."), ...keysOf(value, [...path, key])]),
    ...(typeof node.additionalProperties === "object" ? keysOf(node.additionalProperties, [...path, "NAME"]) : []),
    ...(node.items === undefined ? [] : keysOf(node.items, path)),
    ...(node.anyOf ?? []).flatMap((alternative) => keysOf(alternative, path)),
  ];
  return [...new Set(below)];
}

const manual = readFileSync(join(docs, "configuration.md"), "utf8");

it("no key goes without a word in docs/configuration.md", () => {
  const words = new Set((manual.match(/`[^`\n]+`/g) ?? []).flatMap((code) => code.match(/[a-z-]+/g) ?? []));
  expect(keysOf(jsonSchema() as Node).filter((key) => !words.has(key.split(".").at(-1) ?? ""))).toEqual([]);
});

it("the examples of docs/configuration.md work when they are copied", () => {
  const examples = [...manual.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = ""]) => text).filter((text) => text.includes("network:"));
  expect(examples).toHaveLength(2);
  for (const text of examples) expect(parseConfig(text, "rackboot.yaml")).toMatchObject({ ok: true, notices: [] });
});
