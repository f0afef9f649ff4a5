import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ControlClient } from "../../src/control/client.ts";
import { ControlError } from "../../src/control/errors.ts";
import { ControlServer } from "../../src/control/server.ts";
import { volumeOperations } from "../../src/control/volume-operations.ts";
import type { MachineName } from "../../src/machine/identifiers.ts";
import { MIB, TestDisks, writeAt } from "../volume/support.ts";

let folder: string;
let test: TestDisks;
let server: ControlServer;
let client: ControlClient;
const internal: unknown[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-control-"));
  test = new TestDisks(join(folder, "data"));
  await test.configure({}, { uqbar: ["root"] });
  const { operations, transfers, machines } = test.disks;
  const path = join(folder, "socket");
  server = new ControlServer({
    path,
    operations: volumeOperations({
      volumes: operations,
      transfers,
      reset: (machine, force) => machines.reset(machine as MachineName, force),
    }),
    onError: (_, error) => internal.push(error),
  });
  await server.listen();
  client = new ControlClient(path);
});
afterEach(async () => {
  await server.close();
  test.stop();
  rmSync(folder, { recursive: true });
  expect(internal.splice(0)).toEqual([]);
});

async function resultOf<T>(work: AsyncIterable<{ readonly progress: unknown } | { readonly result: T }>): Promise<T> {
  for await (const value of work) if ("result" in value) return value.result;
  throw new Error("no result");
}

describe("disks through the control socket", () => {
  it("are made, cloned, grown, renamed and deleted", async () => {
    await client.call("volume.create", { name: "golden", sizeBytes: 4 * MIB, settings: { blockSize: 4096 } });
    const clone = await resultOf(client.follow("volume.clone", { origin: "golden", name: "copy" }));
    expect(clone.settings.blockSize).toBe(4096);
    expect((await client.call("volume.resize", { name: "copy", sizeBytes: 8 * MIB })).sizeBytes).toBe(8 * MIB);
    expect((await client.call("volume.rename", { name: "copy", to: "other" })).name).toBe("other");
    const taken = await resultOf(client.follow("volume.snapshot", { name: "other", snapshot: "v1" }));
    await resultOf(client.follow("volume.rollback", { reference: `other@${taken.snapshot}` }));
    expect((await client.call("volume.list", {})).volumes.map(({ name }) => name)).toEqual(["golden", "other"]);
    expect(await client.call("volume.delete", { reference: "other" })).toEqual({ deleted: "other" });
  });

  it("come in as a stream and go out as one, octet by octet", async () => {
    const data = Buffer.concat([randomBytes(3 * MIB + 512), Buffer.alloc(5 * MIB), randomBytes(512)]);
    const imported = await resultOf(client.upload("volume.receive", { name: "in" }, Readable.from([data])));
    expect(imported.sizeBytes).toBe(data.length);
    const { body, sizeBytes } = await client.download("volume.send", { reference: "in" });
    const hash = createHash("sha256");
    for await (const chunk of body) hash.update(chunk as Buffer);
    expect(sizeBytes).toBe(data.length);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(data).digest("hex"));
  });

  it("come in from files and go out to files that the daemon reads and writes", async () => {
    const image = join(folder, "image");
    writeFileSync(image, "");
    truncateSync(image, 4 * MIB);
    writeAt(image, MIB, 4096);
    await resultOf(client.follow("volume.import", { path: image, name: "file" }));
    const out = join(folder, "out");
    expect(await resultOf(client.follow("volume.export", { reference: "file", path: out }))).toEqual({ sizeBytes: 4 * MIB });
    expect(readFileSync(out).equals(readFileSync(image))).toBe(true);
  });

  it("that are not there are refused before an octet is sent", async () => {
    await expect(client.download("volume.send", { reference: "nothing" })).rejects.toMatchObject({ code: "ERR_REFUSED" });
    const upload = resultOf(client.upload("volume.receive", { name: "a/b" }, Readable.from([Buffer.alloc(MIB)])));
    await expect(upload).rejects.toMatchObject({
      code: "ERR_BAD_INPUT",
      message: expect.stringContaining("no slash; choose another name"),
    });
  });

  it("an import that its caller breaks off leaves nothing behind", async () => {
    const abort = new AbortController();
    async function* endless(): AsyncGenerator<Buffer> {
      for (let count = 0; ; count++) {
        if (count === 40) abort.abort();
        yield Buffer.alloc(65_536, 1);
      }
    }
    const work = resultOf(client.upload("volume.receive", { name: "half" }, Readable.from(endless()), abort.signal));
    await expect(work).rejects.toThrow();
    await expect.poll(() => test.disks.operations.list()).toEqual([]);
    await client.call("volume.create", { name: "half", sizeBytes: MIB });
  });

  it("refusals are sentences with a code, and bad input never reaches the disks", async () => {
    const refused = await client.call("machine.reset", { name: "uqbar" }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ControlError);
    expect(refused).toMatchObject({ code: "ERR_REFUSED", message: expect.stringContaining("no disk that is a clone") });
    for (const sizeBytes of [-1, 0.5, Number.NaN]) {
      await expect(client.call("volume.create", { name: "x", sizeBytes })).rejects.toMatchObject({ code: "ERR_BAD_INPUT" });
    }
    await expect(client.call("volume.delete", { reference: "a@b@c" })).rejects.toMatchObject({ code: "ERR_BAD_INPUT" });
  });
});
