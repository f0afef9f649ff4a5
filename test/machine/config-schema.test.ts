import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
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

it("no key goes without a word in docs/configuration.md", () => {
  const text = readFileSync(join(docs, "configuration.md"), "utf8");
  const missing = keysOf(jsonSchema() as Node).filter((key) => !text.includes(`\`${key.split(".").at(-1)}\``));
  expect(missing).toEqual([]);
});
