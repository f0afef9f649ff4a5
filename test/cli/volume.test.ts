import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { ControlServer } from "../../src/control/server.ts";
import { volumeOperations } from "../../src/control/volume-operations.ts";
import type { MachineName } from "../../src/machine/identifiers.ts";
import { cloneOf, sparse, TestDisks } from "../volume/support.ts";

let folder: string;
let test: TestDisks;
let server: ControlServer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-cli-volume-"));
  test = new TestDisks(join(folder, "data"));
  await test.configure({ golden: sparse(2 ** 30), "uqbar/0": cloneOf("golden", 2 ** 31) }, { uqbar: ["uqbar/0"] });
  const { operations, transfers, machines } = test.disks;
  const reset = (machine: string, force: boolean) => machines.reset(machine as MachineName, force);
  server = new ControlServer({ path: join(folder, "socket"), operations: volumeOperations({ volumes: operations, transfers, reset }) });
  await server.listen();
});
afterEach(async () => {
  await server.close();
  test.stop();
  rmSync(folder, { recursive: true });
});

/** Runs the command as a person types it, without a terminal. */
async function rackboot(line: string): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const written: { out: string; err: string } = { out: "", err: "" };
  const plain = (_: unknown, text: string): string => text;
  const output = {
    out: (text: string): void => {
      written.out += text;
    },
    err: (text: string): void => {
      written.err += text;
    },
    paint: plain,
    paintError: plain,
    terminal: false,
  };
  const words = line.split(" ");
  const socket = words.includes("--help") ? [] : ["--socket", join(folder, "socket")];
  const code = await runCli(["node", "rackboot", ...words, ...socket], output);
  return { code, out: written.out.replaceAll(folder, ""), err: written.err.replaceAll(folder, "") };
}

const done = async (line: string): Promise<string> => {
  const { code, out, err } = await rackboot(line);
  expect([code, err], line).toEqual([0, ""]);
  return out;
};

describe("rackboot volume", () => {
  it("says what it did, a line each", async () => {
    expect(await done("volume create scratch 40g --block-size 4096")).toBe("scratch is there, 40G\n");
    expect(await done("volume clone scratch copy --size 80G")).toBe("copy is a clone of scratch, 80G\n");
    expect(await done("volume snapshot scratch v1")).toMatch(/^scratch@v1 is taken; its disk waited [0-9]+ ms\n$/);
    expect(await done("volume rollback scratch@v1")).toBe("scratch is as it was at scratch@v1, 40G\n");
    expect(await done("volume resize scratch 41G")).toBe("scratch has grown, 41G\n");
    expect(await done("volume rename copy other")).toBe("other is what copy was, 80G\n");
    expect(await done("volume delete scratch@v1")).toBe("scratch@v1 is deleted\n");
    expect(await done("volume delete other --force")).toBe("other is deleted\n");
    expect(await done("machine reset uqbar")).toBe("uqbar begins anew: uqbar/0\n");
  });

  it("lists volumes for people, with how full the pool is and whether clones are full copies", async () => {
    await done("volume create scratch 1T");
    const list = await done("volume list");
    expect(list).toMatch(/^\/data on [a-z0-9]+, [0-9.]+[KMGT] free of [0-9.]+[KMGT], [0-9]+ % full; /);
    expect(list).toMatch(/\n {2}VOLUME +SIZE +USED +SHARED +SNAPSHOTS +OF +ORIGIN\n/);
    expect(list).toMatch(/\n {2}scratch +1T +0 /);
  });

  it("shows a volume and its snapshots", async () => {
    await done("volume snapshot golden v1");
    await done("volume clone golden@v1 copy");
    expect(await done("volume show copy")).toMatch(/^copy\n {2}size +1G\n(.*\n)+ {2}origin +golden@v1\n/);
    expect(await done("volume snapshots golden")).toMatch(/SNAPSHOT +TAKEN.*\n {2}v1 +[0-9: -]+ +1G +(0|-) +copy\n$/);
  });

  it("answers programs in JSON", async () => {
    expect(JSON.parse(await done("volume create scratch 1G --json"))).toMatchObject({ name: "scratch", sizeBytes: 2 ** 30 });
    const list = JSON.parse(await done("volume list --json")) as { readonly volumes: readonly { readonly name: string }[] };
    expect(list.volumes.map(({ name }) => name)).toEqual(["golden", "scratch"]);
    expect(JSON.parse(await done("volume snapshot scratch v1 --json"))).toMatchObject({ snapshot: "v1" });
    expect(JSON.parse(await done("volume snapshots scratch --json"))).toMatchObject([{ name: "v1", clones: [] }]);
    expect(JSON.parse(await done("volume delete scratch --json"))).toEqual({ deleted: "scratch" });
  });

  it("exports to a file and imports it again", async () => {
    const file = join(folder, "out.raw");
    expect(await done(`volume export golden ${file}`)).toBe("/out.raw is written, 1G\n");
    expect(await done(`volume import ${file} again --size 2G`)).toBe("again is imported (0 used), 2G\n");
  });

  it("fails with one sentence on stderr", async () => {
    for (const line of [
      "volume create a/b 1G",
      "volume delete golden",
      "volume clone nothing x",
      "volume resize golden 512M",
      "machine reset nobody",
    ]) {
      const { code, out, err } = await rackboot(line);
      expect([code, out], line).toEqual([1, ""]);
      expect(err).toMatch(/^rackboot: [^\n]+\n$/);
    }
    for (const line of ["volume create x lots", "volume create x", "volume", "volume create x 1G --block-size 1000"]) {
      expect((await rackboot(line)).code, line).toBe(2);
    }
  });

  it("has help with examples and exit codes everywhere", async () => {
    const commands = [
      "list",
      "show",
      "snapshots",
      "create",
      "clone",
      "snapshot",
      "rollback",
      "resize",
      "rename",
      "delete",
      "import",
      "export",
    ];
    for (const command of [...commands.map((name) => `volume ${name}`), "machine reset"]) {
      const out = await done(`${command} --help`);
      expect(out).toContain("Examples:\n  $ ");
      expect(out).toContain("Exit codes: 0 done, 1 failed, 2 wrong usage");
    }
  });
});
