import { randomBytes } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskPath } from "../../src/volume/layout.ts";
import { run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { disk, PeerTarget, volumeOf } from "./iscsi-target.ts";

const MEBI = 1048576;
const SECRETS = { user: "uqbar", secret: "tlon-orbis-tertius", mutual: { user: "rack", secret: "hlor-u-fang-axaxaxas" } };
const DISKS = [
  { machine: "uqbar", config: disk() },
  { machine: "tlon", config: disk({ blockSize: 4096 }) },
  { machine: "orbis", config: disk({ readOnly: true }) },
  { machine: "guarded", config: disk(), secrets: SECRETS },
];

const resources = new Resources();
let target: PeerTarget;

beforeAll(async () => {
  target = await PeerTarget.start(resources, DISKS);
});
afterAll(() => resources.close());

/** Everything that iscsi-inq can ask of a LUN. */
async function everythingTold(from: PeerTarget): Promise<string> {
  const pages = [[], ...[0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2].map((page) => ["-e", "1", "-c", String(page)])];
  const answers = await Promise.all(pages.map((options) => runOrThrow(["iscsi-inq", ...options, from.url("uqbar")])));
  return answers.join("\n");
}

describe("libiscsi's tools", () => {
  it("find every target and portal by discovery, and log in to each", async () => {
    const listed = await runOrThrow(["iscsi-ls", `iscsi://${target.portal()}`]);
    for (const { machine } of DISKS) {
      for (const portal of [0, 1] as const) {
        expect(listed).toContain(`Target:iqn.2026-01.lan.rackboot:${machine} Portal:${target.portal(portal)},${portal + 1}`);
      }
    }
  });

  it("are told the same after a restart of the daemon, so that the machine still knows its disk", async () => {
    const before = await everythingTold(target);
    expect(before).toContain("Vendor:RACKBOOT");
    expect(before).toContain("Page:0xb2 LOGICAL_BLOCK_PROVISIONING");
    await target.stop();
    target = await PeerTarget.start(resources, DISKS, target.storage);
    expect(await everythingTold(target)).toBe(before);
  });

  it("get in with the right secret, both ways, and not with a wrong one", async () => {
    const right = target.url("guarded", { credentials: "uqbar%tlon-orbis-tertius" });
    expect(await runOrThrow(["iscsi-inq", right])).toContain("RACKBOOT");
    const environment = { LIBISCSI_CHAP_TARGET_USERNAME: "rack", LIBISCSI_CHAP_TARGET_PASSWORD: "hlor-u-fang-axaxaxas" };
    expect(await runOrThrow(["iscsi-inq", right], { environment })).toContain("RACKBOOT");
    for (const url of [target.url("guarded", { credentials: "uqbar%tlon-orbis-tertiuX" }), target.url("guarded")]) {
      const refused = await run(["iscsi-inq", url]);
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toContain("Authentication failure");
    }
    expect(target.told("iscsi.refused")).toHaveLength(2);
  });

  it("speak with header digests", async () => {
    expect(await runOrThrow(["iscsi-inq", `${target.url("uqbar")}?header_digest=crc32c`])).toContain("RACKBOOT");
  });
});

describe("QEMU's iSCSI driver", () => {
  it.each(["uqbar", "tlon"])("writes a disk and reads it back octet by octet: %s", async (name) => {
    const image = join(target.storage, `${name}.raw`);
    const octets = randomBytes(8 * 1048576);
    writeFileSync(image, octets);
    await runOrThrow(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, target.url(name)]);
    const compared = await run(["qemu-img", "compare", "-f", "raw", "-F", "raw", image, target.url(name)]);
    expect(compared).toMatchObject({ code: 0 });
    expect(
      readFileSync(diskPath(target.storage, volumeOf(name)))
        .subarray(0, octets.length)
        .equals(octets),
    ).toBe(true);
  });

  it("sees the size and the block size of the disk", async () => {
    const facts = JSON.parse(await runOrThrow(["qemu-img", "info", "--output=json", "-f", "raw", target.url("tlon")]));
    expect(facts).toMatchObject({ "virtual-size": 64 * 1048576 });
  });

  it("cannot write to a read-only disk", async () => {
    const written = await run(["qemu-io", "-f", "raw", "-c", "write 0 4k", target.url("orbis")]);
    expect(`${written.stdout}${written.stderr}`).toContain("write protected");
    expect(readFileSync(diskPath(target.storage, volumeOf("orbis"))).every((octet) => octet === 0)).toBe(true);
  });

  it("writes through to the disk with FUA, and flushes", async () => {
    const script = ["-c", "write -f -P 0x5a 1M 64k", "-c", "flush", "-c", "read -P 0x5a 1M 64k", "-c", "read -P 0 40M 64k"];
    const done = await runOrThrow(["qemu-io", "-f", "raw", "-t", "writeback", ...script, target.url("uqbar")]);
    expect(done).not.toContain("failed");
  });

  it("gives room back when it discards, and reads zeros there", async () => {
    const file = diskPath(target.storage, volumeOf("uqbar"));
    const room = (): number => statSync(file).blocks * 512;
    const io = (...commands: readonly string[]): Promise<string> =>
      runOrThrow(["qemu-io", "-f", "raw", "-d", "unmap", ...commands.flatMap((command) => ["-c", command]), target.url("uqbar")]);
    await io("write -P 0x77 16M 8M", "flush");
    const full = room();
    const done = await io("discard 16M 4M", "write -z -u 20M 4M", "flush", "read -P 0 16M 8M");
    expect(done).not.toMatch(/failed/);
    expect(full - room()).toBeGreaterThanOrEqual(8 * MEBI);
  });

  it("is told which parts of a disk hold data", async () => {
    await runOrThrow(["qemu-io", "-f", "raw", "-d", "unmap", "-c", "discard 0 64M", "-c", "write -P 1 32M 1M", target.url("tlon")]);
    const parts = JSON.parse(await runOrThrow(["qemu-img", "map", "--output=json", "-f", "raw", target.url("tlon")]));
    expect(parts.filter(({ data }: { readonly data: boolean }) => data)).toMatchObject([{ start: 32 * MEBI, length: MEBI }]);
  });

  it("copies a disk with header digests on, and finds both the same", async () => {
    const session = `transport=tcp,portal=${target.portal()},target=iqn.2026-01.lan.rackboot:uqbar,lun=0`;
    const from = `driver=iscsi,${session},header-digest=crc32c`;
    const image = join(target.storage, "copy.raw");
    await runOrThrow(["qemu-img", "convert", "--image-opts", "-O", "raw", from, image]);
    expect(await run(["qemu-img", "compare", "--image-opts", from, `driver=file,filename=${image}`])).toMatchObject({ code: 0 });
  });
});
