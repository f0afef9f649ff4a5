import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readTrouble } from "../../../board/health/sensors.ts";
import { type Result, run, runOrThrow } from "../../harness/process.ts";
import { Resources } from "../../harness/resources.ts";

const ROOT = new URL("../../..", import.meta.url).pathname;
/** The board's own script with the board's own places, in a mount namespace in which they are folders of the test. */
const ON_A_BOARD = `set -e
folder=$1 label=$2; shift 2
mount -t tmpfs tmpfs /usr/libexec
mkdir -p /usr/libexec/rackboot
cp ${ROOT}firmware/rootfs-overlay/usr/libexec/rackboot/* /usr/libexec/rackboot
mount -t tmpfs tmpfs /usr/share
mkdir -p /usr/share/rackboot
sed "s#^LABEL_DATA=.*#LABEL_DATA=$label#; s#^MOUNT_DATA=.*#MOUNT_DATA=$folder/data#" ${ROOT}firmware/layout.env >/usr/share/rackboot/layout.env
sed -i "s#^RUN=.*#RUN=$folder/run#" /usr/libexec/rackboot/lib.sh
for step; do /bin/sh -c "$step"; done`;
const MOUNT = "/usr/libexec/rackboot/data-disk mount || :";
const LOOK = "/usr/libexec/rackboot/data-disk look";

const hasLoop = process.getuid?.() === 0 && existsSync("/dev/loop-control") && /\bxfs$/m.test(readFileSync("/proc/filesystems", "utf8"));

let resources: Resources;
let folder: string;
/** Nobody else's disks have it. */
const label = `RB${process.pid}`;

beforeEach(() => {
  resources = new Resources();
  folder = mkdtempSync(join(tmpdir(), "rackboot-data-"));
  resources.defer("folder", () => rmSync(folder, { recursive: true }));
  for (const name of ["data", "run"]) mkdirSync(join(folder, name));
});
afterEach(() => resources.close());

async function disk(name: string, options: readonly string[] = []): Promise<string> {
  const file = join(folder, name);
  writeFileSync(file, "");
  truncateSync(file, 320 * 1024 ** 2);
  await runOrThrow(["mkfs.xfs", "-q", "-f", "-m", "reflink=1", "-L", label, file]);
  const device = (await runOrThrow(["losetup", "--find", "--show", ...options, file])).trim();
  resources.defer(device, async () => void (await run(["losetup", "--detach", device])));
  return device;
}

function onABoard(...steps: readonly string[]): Promise<Result> {
  return run(["unshare", "--mount", "--", "/bin/sh", "-c", ON_A_BOARD, "sh", folder, label, ...steps]);
}

const trouble = (): ReturnType<typeof readTrouble> => readTrouble(join(folder, "run/data-disk-trouble"));

describe.skipIf(!hasLoop)("a data disk", () => {
  it("that is there and good is mounted, and nothing is said of it", async () => {
    const device = await disk("one");
    const { stdout } = await onABoard(MOUNT, `grep ' ${folder}/data ' /proc/mounts`);
    expect(stdout).toMatch(new RegExp(`^${device} \\S+ xfs rw`));
    expect(await trouble()).toBeUndefined();
  });

  it("with a twin is used, and the person is asked to unplug the one that is not meant", async () => {
    const devices = [await disk("one"), await disk("two")];
    await onABoard(MOUNT, LOOK);
    const found = await trouble();
    expect(found?.reason).toMatch(
      new RegExp(`^two disks are labelled ${label}: (${devices.join("|")}) is used, (${devices.join("|")}) is left alone$`),
    );
    expect(found?.next).toContain("unplug the one that is not meant");
  });

  it("that can only be read is mounted so, and is told of", async () => {
    await disk("locked", ["--read-only"]);
    const { stdout } = await onABoard(MOUNT, `grep ' ${folder}/data ' /proc/mounts`);
    expect(stdout).toContain(" xfs ro");
    expect((await trouble())?.reason).toContain("can only be read");
  });

  it("whose file system is broken is left as it is, with the reason and the next step; one without a label is nobody's", async () => {
    const file = join(folder, "broken");
    await disk("broken");
    // Its label is still found; the root of its inodes is not (XFS: the second sector is the AGF, the third the AGI).
    await runOrThrow(["dd", "if=/dev/urandom", `of=${file}`, "bs=512", "seek=1", "count=8", "conv=notrunc"]);
    await onABoard(MOUNT);
    expect(await trouble()).toEqual({
      reason: expect.stringContaining("cannot be mounted ("),
      next: expect.stringContaining("xfs_repair"),
    });
  });
});
