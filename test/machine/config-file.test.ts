import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ConfigReading, formatNotice, formatProblem, parseConfig, readConfig } from "../../src/machine/config-file.ts";

const folder = import.meta.dirname;
let temporary: string;

beforeAll(() => {
  temporary = mkdtempSync(join(tmpdir(), "rackboot-config-"));
});
afterAll(() => rmSync(temporary, { recursive: true }));

function accepted(reading: ConfigReading): Extract<ConfigReading, { ok: true }> {
  if (!reading.ok) throw new Error(reading.problems.map(formatProblem).join("\n"));
  return reading;
}

function explained(reading: ConfigReading): string {
  return reading.ok ? "accepted\n" : reading.problems.map((problem) => `${formatProblem(problem)}\n`).join("");
}

const NETWORK = "network: { interface: eth0, address: 172.16.0.1/24 }\n";

describe("a good file", () => {
  it("means what every key of the documentation says", async () => {
    const reading = accepted(parseConfig(readFileSync(join(folder, "every-key.yaml"), "utf8"), "/etc/rackboot/rackboot.yaml"));
    await expect(reading.config).toMatchFileSnapshot("every-key.config.txt");
    expect(reading.notices.map(formatNotice)).toMatchInlineSnapshot(`[]`);
  });

  it("needs no more than a network", () => {
    const { config, notices } = accepted(parseConfig(NETWORK, "/etc/rackboot/rackboot.yaml"));
    expect(notices).toEqual([]);
    expect(config.dhcp).toMatchObject({ mode: "server", unknown: "ignore", relay: true, port: 67, leaseMs: 12 * 3_600_000 });
    expect(config.tftp).toEqual({ port: 69, windowsize: 16 });
    expect(config.iscsi).toEqual({
      port: 3260,
      prefix: "iqn.2026-01.lan.rackboot",
      portals: ["172.16.0.1"],
      threads: 0,
      memoryBytes: 64 << 20,
    });
    expect(config.storage.path).toBe("/etc/rackboot/data");
  });

  it("serves a developer without privileges, on the loopback with any ports and no DHCP", () => {
    const text =
      "network: { interface: lo, address: 127.0.0.1/8 }\ndhcp: { mode: off }\ntftp: { port: 0 }\nhttp: { port: 0 }\niscsi: { port: 0 }\n";
    const { config } = accepted(parseConfig(text, "dev.yaml"));
    expect([config.dhcp.mode, config.tftp.port, config.http.port, config.iscsi.port]).toEqual(["off", 0, 0, 0]);
  });

  it("may leave values empty where they have a default", () => {
    const { config } = accepted(parseConfig(`${NETWORK}dhcp:\n  router:\n  dns:\ntftp:\n  upload: null\nmachines:\nvolumes:\n`, "x.yaml"));
    expect(config.dhcp.dns).toEqual([]);
    expect(config.machines).toEqual([]);
  });

  it("derives the names of a machine that has only a MAC address", () => {
    const { config } = accepted(parseConfig(`${NETWORK}machines:\n  uqbar: { mac: 52-54-00-16-00-1A, disks: [{ size: 1G }] }\n`, "x.yaml"));
    expect(config.machines[0]).toEqual({
      name: "uqbar",
      macs: ["52:54:00:16:00:1a"],
      initiators: ["iqn.2026-01.lan.rackboot:initiator.uqbar"],
      anyInitiator: false,
      target: "iqn.2026-01.lan.rackboot:uqbar",
      disks: ["uqbar/0"],
      chap: false,
      arguments: "",
      boot: { kind: "disk", via: "loader" },
      ephemeral: false,
      hostname: "uqbar",
    });
    expect([...config.volumes.keys()]).toEqual(["uqbar/0"]);
  });

  it("may name a disk that only the store knows, and is told so in case it was a slip", () => {
    const text = `${NETWORK}volumes: { uqbar-root: { size: 1G } }
machines:
  uqbar: { mac: "52:54:00:16:00:10", disks: [uqbar-rot, tlon] }
`;
    expect(accepted(parseConfig(text, "x.yaml")).notices.map(formatNotice)).toMatchInlineSnapshot(`
      [
        "x.yaml:4:3: machine uqbar gets no address: it has no reservation, and there is no dhcp.range",
        "x.yaml:4:46: no volume is called uqbar-rot here (did you mean uqbar-root?); the store must have it, from "rackboot volume create" or "clone"",
        "x.yaml:4:57: no volume is called tlon here; the store must have it, from "rackboot volume create" or "clone"",
      ]
    `);
  });

  it("says what is not yet used, and what may surprise", () => {
    const text = `${NETWORK}dhcp: { lease: 5m, range: 172.16.0.50-172.16.0.60, unknown: pending }
machines:
  uqbar: { mac: "52:54:00:16:00:10", disks: [{ size: 1G }], boot: { rescue: rescue.iso } }
  tlon: { mac: "52:54:00:16:00:11", boot: { kernel: k, initrd: i, arguments: quiet } }
  orbis: { mac: "52:54:00:16:00:12", arguments: root=LABEL=x, boot: { kernel: k, initrd: i } }
`;
    expect(accepted(parseConfig(text, "x.yaml")).notices.map(formatNotice)).toMatchInlineSnapshot(`
      [
        "x.yaml:2:16: a lease of 5m is short: a machine whose root is on another server loses it if nobody renews; those with disks here get theirs for ever",
        "x.yaml:5:37: the kernel arguments of machine tlon have no root=: its initramfs must know its root by itself",
      ]
    `);
  });
});

describe("a bad file is explained by line, key, what was found and what is allowed:", () => {
  const bad = join(folder, "bad-files");
  for (const file of readdirSync(bad).filter((name) => name.endsWith(".in"))) {
    it(file.slice(0, -3).replaceAll("-", " "), async () => {
      const reading = parseConfig(readFileSync(join(bad, file), "utf8"), "rackboot.yaml");
      expect(reading.ok).toBe(false);
      await expect(explained(reading)).toMatchFileSnapshot(join("bad-files", file.replace(/in$/, "out")));
    });
  }

  it("one that is not there", () => {
    expect(explained(readConfig(join(temporary, "missing.yaml")))).toContain("found no such file; allowed: a YAML file that can be read");
  });

  it("a folder", () => {
    expect(explained(readConfig(temporary))).toContain("found a folder; allowed");
  });

  it("without end, when everything is wrong", () => {
    const machines = Array.from({ length: 500 }, (_, index) => `  m${index}: { mac: none }\n`).join("");
    const reading = parseConfig(`${NETWORK}machines:\n${machines}`, "x.yaml");
    expect(reading.ok ? 0 : reading.problems.length).toBe(50);
  });

  it("and nothing that a file can say ends the daemon", () => {
    const words = fc.constantFrom(
      ...readFileSync(join(folder, "every-key.yaml"), "utf8").split(/(\s+|[:{},[\]])/),
      "null",
      "&a",
      "*a",
      "!!map",
      "\0",
      "__proto__",
      "constructor",
      "-1",
      "1e999",
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 60 }), (parts) => {
        parseConfig(parts.join(" "), "x.yaml");
        parseConfig(`${NETWORK}machines: { uqbar: { ${parts.join(" ")} } }`, "x.yaml");
      }),
      { numRuns: 300 },
    );
  });

  it("also when an alias stands for itself many times", () => {
    const bomb = `a: &a [x, x]\n${"bcdefghij"
      .split("")
      .map((name, index) => `${name}: &${name} [${`*${"abcdefghi"[index]}, `.repeat(9)}x]\n`)
      .join("")}`;
    expect(parseConfig(bomb, "x.yaml").ok).toBe(false);
  });
});

describe("CHAP secrets", () => {
  const MACHINE = 'machines: { uqbar: { mac: "52:54:00:16:00:10", chap: true, disks: [{ size: 1G }] } }\n';

  function withSecrets(text: string, mode = 0o600): ConfigReading {
    const file = join(temporary, "secrets.yaml");
    writeFileSync(file, text);
    chmodSync(file, mode);
    writeFileSync(join(temporary, "rackboot.yaml"), `${NETWORK}iscsi: { secrets: ./secrets.yaml }\n${MACHINE}`);
    return readConfig(join(temporary, "rackboot.yaml"));
  }

  function explainedHere(reading: ConfigReading): string {
    return explained(reading)
      .replaceAll(`${temporary}/`, "")
      .replaceAll(`${relative(".", temporary)}/`, "");
  }

  it("are found for the machine that asks for them", () => {
    const text = "uqbar: { user: uqbar, secret: correct-horse, mutual: { user: rack, secret: battery-staple } }\nother: { nonsense: 1 }\n";
    expect([...accepted(withSecrets(text)).secrets]).toEqual([
      ["uqbar", { user: "uqbar", secret: "correct-horse", mutual: { user: "rack", secret: "battery-staple" } }],
    ]);
  });

  it("are refused where others may read them", () => {
    expect(explainedHere(withSecrets("uqbar: { user: uqbar, secret: correct-horse }\n", 0o640))).toMatchInlineSnapshot(`
      "secrets.yaml: found mode 0640; allowed: mode 0600: run chmod 600 secrets.yaml
      "
    `);
  });

  it("are missed where the machine has none, and never shown where they are wrong", () => {
    expect(explainedHere(withSecrets("tlon: { user: uqbar, secret: correct-horse }\n"))).toMatchInlineSnapshot(`
      "rackboot.yaml:3:54: machines.uqbar.chap: found true, without an entry uqbar in secrets.yaml; allowed: false, or { user, secret } for it there
      "
    `);
    expect(explainedHere(withSecrets("uqbar: { user: uqbar, secret: tooshort }\n"))).toMatchInlineSnapshot(`
      "secrets.yaml:1:31: uqbar.secret: found 8 characters; allowed: a secret of 12 to 255 printable characters
      "
    `);
    expect(explainedHere(withSecrets("uqbar: correct-horse\n"))).toMatchInlineSnapshot(`
      "secrets.yaml:1:8: uqbar: found 13 characters; allowed: { user, secret }
      "
    `);
    expect(explainedHere(withSecrets("uqbar: [correct-horse\n"))).not.toContain("correct");
    const same = "uqbar: { user: a, secret: correct-horse, mutual: { user: b, secret: correct-horse } }\n";
    expect(explainedHere(withSecrets(same))).toMatchInlineSnapshot(`
      "secrets.yaml:1:69: uqbar.mutual.secret: found the same secret in both directions; allowed: a secret other than the machine's own
      "
    `);
  });
});
