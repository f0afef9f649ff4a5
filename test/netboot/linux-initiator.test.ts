import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { parseVolumeName } from "../../src/machine/identifiers.ts";
import { diskPath } from "../../src/volume/layout.ts";
import { Daemon } from "../harness/daemon.ts";
import { LinuxInitiator } from "../harness/initiator.ts";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { Resources } from "../harness/resources.ts";

/**
 * The kernel's own initiator with two paths to one disk, as a machine of the rack has them. The tests share the machine and
 * go on where the one before them stopped.
 */

const PORTALS = [SERVER_ADDRESS, "172.16.1.1"] as const;
const TARGET = "iqn.2026-01.lan.rackboot:uqbar";
const INITIATOR = "iqn.1994-05.com.redhat:uqbar";
const SECOND_INITIATOR = "iqn.1994-05.com.redhat:second";
const SECRETS = { user: "uqbar", secret: "tlon-orbis-tertius", mutual: { user: "rack", secret: "hlor-u-fang-axaxaxas" } };
const DISK = "/dev/mapper/mpatha";
/** How long fio writes and checks while paths go and come; test/long asks for more. */
const FIO_SECONDS = Number(process.env["RACKBOOT_FIO_SECONDS"] ?? 60);
const SECONDS_PER_DROP = 15;

const directory = join(import.meta.dirname, "..", "..", "build", "netboot-linux-initiator");
const resources = new Resources();
let daemon: Daemon;
let uqbar: LinuxInitiator;

beforeAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const files = { config: join(directory, "rackboot.yaml"), socket: join(directory, "control.sock") };
  writeFileSync(join(directory, "secrets.yaml"), stringify({ uqbar: SECRETS }), { mode: 0o600 });
  const machine = { mac: "52:54:00:16:01:10", initiator: [INITIATOR, SECOND_INITIATOR], disks: ["uqbar-root"], chap: true };
  const config = {
    network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` },
    dhcp: { mode: "off" },
    iscsi: { portals: PORTALS, secrets: "./secrets.yaml" },
    storage: { path: join(directory, "data") },
    volumes: { "uqbar-root": { size: "256M" } },
    machines: { uqbar: machine },
  };
  writeFileSync(files.config, stringify(config));
  const namespace = await NetworkNamespace.create(resources);
  await namespace.run(["ip", "address", "add", `${PORTALS[1]}/24`, "dev", BRIDGE]);
  daemon = await Daemon.start(resources, namespace, files);
  uqbar = await LinuxInitiator.boot(resources, namespace, {
    name: "uqbar",
    initiator: INITIATOR,
    addresses: ["172.16.0.16/24", "172.16.1.16/24"],
    directory: join(directory, "uqbar"),
  });
});

afterAll(async () => {
  writeFileSync(join(directory, "console.log"), uqbar.console);
  await resources.close();
});

/** Settings of a node record, for all its portals or one interface's. */
async function settings(values: Readonly<Record<string, string>>): Promise<void> {
  const words = Object.entries(values).map(([name, value]) => `-n ${name} -v ${value}`);
  for (const word of words) await uqbar.run(`iscsiadm -m node -T ${TARGET} -o update ${word}`);
}

const paths = async (): Promise<string> => uqbar.run("multipath -ll");

/** How many paths dm-multipath would use. */
const usable = (count: number): string => `test "$(multipath -ll | grep -c 'active ready running')" = ${count}`;

/** Device names of a session's disk, by the initiator's name. */
async function disksOf(initiator: string): Promise<readonly string[]> {
  const command = `for s in /sys/class/iscsi_session/session*; do [ "$(cat $s/initiatorname)" = ${initiator} ] && ls -d $s/device/target*/*/block/*; done`;
  return (await uqbar.run(`${command}; true`))
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((path) => path.replace(/^.*\//, "/dev/"));
}

const allocated = (): number => statSync(diskPath(join(directory, "data"), parseVolumeName("uqbar-root"))).blocks * 512;

test("logs in to both portals with digests, and each side proves itself to the other", async () => {
  const found = await uqbar.run(`iscsiadm -m discovery -t sendtargets -p ${PORTALS[0]}`);
  for (const [index, portal] of PORTALS.entries()) expect(found).toContain(`${portal}:3260,${index + 1} ${TARGET}`);
  await settings({
    "node.session.auth.authmethod": "CHAP",
    "node.session.auth.username": SECRETS.user,
    "node.session.auth.password": SECRETS.secret,
    "node.session.auth.username_in": SECRETS.mutual.user,
    "node.session.auth.password_in": "an-impostors-secret",
    "'node.conn[0].iscsi.HeaderDigest'": "CRC32C",
    "'node.conn[0].iscsi.DataDigest'": "CRC32C",
    "'node.conn[0].timeo.noop_out_interval'": "2",
    "'node.conn[0].timeo.noop_out_timeout'": "4",
    "node.session.timeo.replacement_timeout": "5",
    "node.session.initial_login_retry_max": "1",
  });
  expect((await uqbar.try(`iscsiadm -m node -T ${TARGET} -p ${PORTALS[0]} --login`)).output).toContain("non-retryable iSCSI login failure");
  await settings({ "node.session.auth.password_in": SECRETS.mutual.secret });
  await uqbar.run(`iscsiadm -m node -T ${TARGET} --login`);
  const sessions = await uqbar.run("iscsiadm -m session -P 2");
  expect(sessions.match(/HeaderDigest: CRC32C/g)).toHaveLength(2);
  expect(sessions.match(/DataDigest: CRC32C/g)).toHaveLength(2);
  expect(sessions.match(/username_in: rack/g)).toHaveLength(2);
});

test("has one disk with two paths", async () => {
  await uqbar.until(usable(2));
  const map = await paths();
  expect(map).toContain("RACKBOOT");
  expect(map).toContain("hwhandler='1 alua'");
});

test("sg3-utils understand everything that the disk tells of itself", async () => {
  const [disk = ""] = await disksOf(INITIATOR);
  expect(await uqbar.run(`sg_inq ${disk}`)).toMatch(/Vendor identification: RACKBOOT/);
  const pages = await uqbar.run(`sg_vpd -a ${disk}`);
  for (const page of [
    "Supported VPD pages",
    "Unit serial number",
    "Device Identification",
    "Block limits",
    "Block device characteristics",
    "Logical block provisioning",
  ]) {
    expect(pages).toContain(`${page} VPD page`);
  }
  expect(pages).not.toMatch(/malformed|too short|invalid|unexpected/i);
  const opcodes = await uqbar.run(`sg_opcodes ${disk}`);
  for (const name of ["Compare and write", "Write same(16)", "Unmap", "Persistent reserve out", "Synchronize cache(10)"]) {
    expect(opcodes).toContain(name);
  }
  expect(await uqbar.run(`sg_opcodes --rctd --opcode=0x93 ${disk}`)).toMatch(/recommended timeout: 30 secs/);
  expect(await uqbar.run(`sg_logs --page=0x3 ${disk}`)).toMatch(/Read error counter page[\s\S]*Total bytes processed = [1-9]/);
  expect(await uqbar.run(`sg_luns ${disk}`)).toContain("Lun list length = 8");
  await uqbar.run(`blkdiscard ${DISK} && dd if=/dev/urandom of=${DISK} bs=1M count=1 seek=1 oflag=direct`);
  const status = await uqbar.run(`sg_get_lba_status --maxlen=1024 --lba=0 ${disk}`);
  expect(status).toMatch(/blocks: +2048 +deallocated\n.*LBA: 0x0*800 +blocks: +2048 +mapped/);
});

test("loses nothing while one path is cut, comes back, and sessions are dropped, with every block checked", async () => {
  const fio =
    "fio --name=paths --filename=/dev/mapper/mpatha --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=4k-64k --bs_unaligned=0";
  const verify = `--size=64M --time_based --runtime=${FIO_SECONDS} --verify=crc32c --verify_backlog=64 --verify_fatal=1 --output=/tmp/fio`;
  await uqbar.run(`(${fio} ${verify}; echo $? >/tmp/fio.code) >/dev/null 2>&1 &`);
  await uqbar.cable(1, false);
  await uqbar.until("multipath -ll | grep -q 'failed faulty'");
  await uqbar.cable(1, true);
  await uqbar.until(usable(2));
  for (let drop = 0; drop < FIO_SECONDS / SECONDS_PER_DROP; drop++) {
    await uqbar.run(`ss -K dst ${PORTALS[drop % 2] ?? ""} dport = 3260`);
    await uqbar.until(usable(2));
  }
  await uqbar.until("test -s /tmp/fio.code", (FIO_SECONDS + 240) * 1000);
  const report = await uqbar.run("cat /tmp/fio.code /tmp/fio");
  writeFileSync(join(directory, "fio.json"), JSON.stringify({ sessionsDropped: Math.ceil(FIO_SECONDS / SECONDS_PER_DROP), report }));
  expect(report).toMatch(/^0\n/);
  expect(report).toMatch(/err= 0/);
});

test("gives room back that it discards and trims", async () => {
  await uqbar.run(`blkdiscard ${DISK}`);
  const empty = allocated();
  await uqbar.run(`mkfs.ext4 -q ${DISK} && busybox mount -t ext4 ${DISK} /mnt && dd if=/dev/urandom of=/mnt/file bs=1M count=32 && sync`);
  expect(allocated()).toBeGreaterThan(empty + 32 * 1048576);
  await uqbar.run("rm /mnt/file && sync && fstrim -v /mnt");
  expect(allocated()).toBeLessThan(empty + 16 * 1048576);
});

test("sees at a rescan that the disk has grown, and so does its mounted file system", async () => {
  const grown = await daemon.rackboot("volume", "resize", "uqbar-root", "512M");
  expect(grown).toMatchObject({ code: 0 });
  await uqbar.run("iscsiadm -m session -R && multipathd resize map mpatha");
  expect((await uqbar.run(`blockdev --getsize64 ${DISK}`)).trim()).toBe(String(512 * 1048576));
  await uqbar.run(`resize2fs ${DISK}`);
  expect(await uqbar.run("dmesg")).toMatch(/Capacity data has changed|capacity change/i);
  await uqbar.run("busybox umount /mnt");
});

test("keeps to the reservations of another initiator", async () => {
  await uqbar.run("iscsiadm -m iface -I second -o new");
  await uqbar.run(`iscsiadm -m iface -I second -o update -n iface.initiatorname -v ${SECOND_INITIATOR}`);
  await uqbar.run(`iscsiadm -m discovery -t sendtargets -p ${PORTALS[0]} -I second -o new`);
  await settings({
    "node.session.auth.authmethod": "CHAP",
    "node.session.auth.username": SECRETS.user,
    "node.session.auth.password": SECRETS.secret,
  });
  await uqbar.run(`iscsiadm -m node -T ${TARGET} -p ${PORTALS[0]} -I second --login`);
  const [first = ""] = await disksOf(INITIATOR);
  const [second = ""] = await disksOf(SECOND_INITIATOR);
  const write = (disk: string): Promise<{ readonly code: number; readonly output: string }> =>
    uqbar.try(`sg_write_same --10 --lba=8 --num=8 --in=/dev/zero --xferlen=512 ${disk}`);

  await uqbar.run(`sg_persist --out --register --param-sark=0xa ${first}`);
  await uqbar.run(`sg_persist --out --reserve --param-rk=0xa --prout-type=1 ${first}`);
  expect(await uqbar.run(`sg_persist --in --read-reservation ${second}`)).toContain("type: Write Exclusive");
  expect((await write(second)).output).toMatch(/reservation conflict/i);
  await uqbar.run(`sg_persist --out --register --param-sark=0xb ${second}`);
  await uqbar.run(`sg_persist --out --preempt --param-rk=0xb --param-sark=0xa --prout-type=1 ${second}`);
  expect((await write(second)).code).toBe(0);
  const keys = await uqbar.run(`sg_persist --in --read-keys ${second}`);
  expect(keys).toContain("0xb");
  expect(keys).not.toContain("0xa");
  expect((await write(first)).output).toMatch(/reservation conflict|unit attention/i);

  // And the other way round, with what the preempted one has under way aborted.
  await uqbar.try(`sg_turs ${first}`);
  await uqbar.run(`sg_persist --out --register-ignore --param-sark=0xa ${first}`);
  await uqbar.run(`sg_persist --out --preempt-abort --param-rk=0xa --param-sark=0xb --prout-type=1 ${first}`);
  expect(await uqbar.run(`sg_persist --in --read-full-status ${first}`)).toMatch(/Key=0xa[\s\S]*Reservation holder/);
  expect((await write(first)).code).toBe(0);
  expect((await write(second)).output).toMatch(/reservation conflict|unit attention/i);
  await uqbar.run(`sg_persist --out --clear --param-rk=0xa ${first}`);
});

test("logs out of every session in good order", async () => {
  await uqbar.run("multipath -F || (sleep 2; multipath -F); iscsiadm -m session -u", 180_000);
  await expect.poll(async () => Object.keys((await daemon.status()).state.sessions).length, { timeout: 30_000 }).toBe(0);
});
