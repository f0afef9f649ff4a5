import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type ConfigEdit, type EditResult, editConfig } from "../../src/machine/config-edit.ts";
import { formatProblem } from "../../src/machine/config-file.ts";
import { spliceYaml } from "../../src/machine/yaml-splice.ts";

const FILE = `# The rack in the cellar.
network:   { interface: eth0, address: 172.16.0.1/24 }   # top switch

dhcp:
  range: 172.16.0.100-172.16.0.200   # never more
  dns:

volumes:
  uqbar-root: { size: 1T }
  tlon-root:  { size: 1T }

machines:
  # The left one.
  uqbar:
    mac: 52:54:00:16:00:10   # port 3
    address:  "172.16.0.16"

    disks:
      - uqbar-root   # LUN 0
    # a last word
  # The right one.
  tlon: { mac: "52:54:00:16:00:11", disks: [tlon-root] }  # port 4

# Goodbye.
`;

function edited(edit: ConfigEdit, text = FILE): string {
  const result = editConfig(text, "rackboot.yaml", edit);
  if (!result.ok) throw new Error(explained(result));
  return result.text;
}

function explained(result: EditResult): string {
  return result.ok ? "good" : result.problems.map(formatProblem).join("\n");
}

/** The lines that went and the lines that came. */
function difference(before: string, after: string): string {
  const [old, now] = [before.split("\n"), after.split("\n")];
  let start = 0;
  while (start < old.length && old[start] === now[start]) start++;
  let end = 0;
  while (end < Math.min(old.length, now.length) - start && old[old.length - 1 - end] === now[now.length - 1 - end]) end++;
  const lines = (all: readonly string[], sign: string): readonly string[] =>
    all.slice(start, all.length - end).map((line) => `${sign}${line}`);
  return [...lines(old, "-"), ...lines(now, "+")].join("\n");
}

describe("an edit changes what was asked for, and no other character:", () => {
  it.each<[string, ConfigEdit]>([
    [
      "a machine more",
      { kind: "machine.add", name: "orbis", keys: { mac: "52:54:00:16:00:12", address: "172.16.0.18", disks: ["orbis-root"] } },
    ],
    ["another MAC address", { kind: "machine.set", name: "uqbar", keys: { mac: ["52:54:00:16:00:20", "52:54:00:16:00:21"] } }],
    ["a list in the place of a longer one", { kind: "machine.set", name: "uqbar", keys: { disks: [{ size: "2G" }] } }],
    ["a key more, and one less", { kind: "machine.set", name: "uqbar", keys: { address: null, arguments: "console=ttyS0 a: b" } }],
    ["a key more inside braces", { kind: "machine.set", name: "tlon", keys: { address: "172.16.0.17" } }],
    ["one less inside braces", { kind: "machine.set", name: "tlon", keys: { disks: null } }],
    ["a machine less", { kind: "machine.remove", name: "uqbar" }],
    ["the last machine less", { kind: "machine.remove", name: "tlon" }],
    ["two that change places", { kind: "machine.swap", names: ["uqbar", "tlon"] }],
    ["the network's address", { kind: "set", path: ["network", "address"], value: "172.16.0.2/24" }],
    ["a range", { kind: "set", path: ["dhcp", "range"], value: "172.16.0.50-172.16.0.60" }],
    ["a value where a key has none", { kind: "set", path: ["dhcp", "dns"], value: ["172.16.0.1"] }],
    ["a section that was not there", { kind: "set", path: ["tftp", "windowsize"], value: 4 }],
  ])("%s", (_, edit) => {
    expect(difference(FILE, edited(edit))).toMatchSnapshot();
  });

  it("the first machine of a file that has none", () => {
    const text = "network: { interface: eth0, address: 172.16.0.1/24 }\nmachines: # none yet\nstorage: { path: ./disks }";
    expect(edited({ kind: "machine.add", name: "uqbar", keys: { mac: "52:54:00:16:00:10" } }, text)).toBe(
      'network: { interface: eth0, address: 172.16.0.1/24 }\nmachines: # none yet\n  uqbar:\n    mac: "52:54:00:16:00:10"\nstorage: { path: ./disks }',
    );
  });

  it("nothing, where everything is as it should be", () => {
    expect(edited({ kind: "machine.set", name: "uqbar", keys: { address: "172.16.0.16" } })).toBe(FILE);
  });

  it("whatever is set and taken away again, in any layout", () => {
    const key = fc.constantFrom("a", "b", "on", "52:54", "x y", "#", "1");
    const scalar = fc.oneof(
      fc.string({ maxLength: 8 }),
      fc.integer(),
      fc.boolean(),
      fc.constantFrom("- a", "a: b", "52:54:00:16:00:10", "'", "[", "# x"),
    );
    const leaf = fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }));
    const value = fc.oneof(leaf, fc.dictionary(key, leaf, { minKeys: 1, maxKeys: 3 }));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.array(key, { minLength: 1, maxLength: 3 }), fc.option(value, { nil: undefined })), { maxLength: 8 }),
        (steps) => {
          let text =
            "# top\nmachines:\n  one: { mac: x, disks: [a] } # one\n  two:\n    mac: y # y\n    disks:\n      - a\n      - b # last\n# end\n";
          for (const [path, set] of steps) {
            // Through a scalar there is no way; everything else must work, and spliceYaml compares what came out itself.
            try {
              text = spliceYaml(text, { path: ["machines", ...path], value: set });
            } catch (error) {
              expect(String(error)).toContain("something that is no mapping");
            }
            expect(text).toContain("# top\n");
            expect(text).toContain("# one\n");
            expect(text.endsWith("# end\n")).toBe(true);
            expect(parse(text)).toHaveProperty(["machines", "two", "mac"], "y");
          }
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe("an edit that would not leave a good file changes nothing, and says", () => {
  it.each<[string, ConfigEdit, string]>([
    [
      "what is wrong with a value, with line and key",
      { kind: "machine.set", name: "uqbar", keys: { address: "172.16.0.300" } },
      "rackboot.yaml:16:15: machines.uqbar.address: found 172.16.0.300; allowed: an IPv4 address such as 172.16.0.1",
    ],
    [
      "who has the hardware already",
      { kind: "machine.set", name: "uqbar", keys: { mac: "52:54:00:16:00:11" } },
      "rackboot.yaml:22:16: machines.tlon.mac: found 52:54:00:16:00:11, which machine uqbar has; allowed: a MAC address of its own",
    ],
    [
      "that the machine is there already",
      { kind: "machine.add", name: "tlon", keys: {} },
      "rackboot.yaml: machines.tlon: found a machine that is there already; allowed: a new name",
    ],
    [
      "that there is no such machine",
      { kind: "machine.remove", name: "orbis" },
      'rackboot.yaml: machines.orbis: found no such machine; allowed: one of those that "rackboot machine list" names',
    ],
    [
      "that a machine cannot change places with itself",
      { kind: "machine.swap", names: ["tlon", "tlon"] },
      "rackboot.yaml: machines.tlon: found one machine twice; allowed: two machines",
    ],
  ])("%s", (_, edit, expected) => {
    expect(explained(editConfig(FILE, "rackboot.yaml", edit))).toBe(expected);
  });

  it("that what other places share is a person's to change", () => {
    const text = "network: { interface: eth0, address: 172.16.0.1/24 }\nmachines:\n  uqbar: &all\n    mac: 52:54:00:16:00:10\n";
    expect(explained(editConfig(text, "x.yaml", { kind: "machine.set", name: "uqbar", keys: { mac: "52:54:00:16:00:11" } }))).toBe(
      "x.yaml:4:1: machines.uqbar: found an anchor, &all; allowed: a value of its own; change it in the file itself",
    );
  });

  it("what was wrong with the file before", () => {
    expect(explained(editConfig("network: 1\n", "x.yaml", { kind: "machine.remove", name: "uqbar" }))).toContain(
      "x.yaml:1:10: network: found 1",
    );
  });
});
