import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { basename, dirname, join } from "node:path";
import { stringify } from "yaml";
import type { Guest } from "./guest.ts";
import { BackgroundProcess, runOrThrow } from "./process.ts";
import { PROCESSOR } from "./qemu.ts";
import type { Resources } from "./resources.ts";
import { type CacheFate, VolatileDisk } from "./volatile-disk.ts";

/**
 * The appliance as a machine of its own, in QEMU: the guest's kernel, the daemon that `make build` made, and a data disk with
 * XFS whose write cache is lost with the power. It is reached through a port of the loopback, so it needs neither root nor
 * namespaces.
 */

const ROOT = join(import.meta.dirname, "..", "..");
const MODULES = ["virtio_pci", "virtio_net", "virtio_blk", "crc32c_generic", "xfs"];
const DATA_DISK_MIB = 512;
const READY_TIMEOUT_MS = 120_000;
/** QEMU's user network gives its only guest this address. */
const ADDRESS = "10.0.2.15";
const ISCSI_PORT = 3260;

const INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
for module in $($b cat /modules/order); do $b insmod /modules/$module; done
$b ip link set lo up
$b ip address add ${ADDRESS}/24 dev eth0
$b ip link set eth0 up
# Writes reach the disk's cache soon, some of them before others.
echo 100 >/proc/sys/vm/dirty_expire_centisecs
echo 20 >/proc/sys/vm/dirty_writeback_centisecs
$b mount -t xfs /dev/vda /data || exec $b poweroff -f
exec /bin/node --no-warnings /rackboot/dist/src/main.js serve --config /rackboot.yaml --socket /rackboot.sock
`;

export interface ApplianceOptions {
  /** Keeps what it boots and its data disk; made anew. */
  readonly directory: string;
  readonly guest: Guest;
  /** Keys of rackboot.yaml: volumes and machines. */
  readonly config: Readonly<Record<string, unknown>>;
  /** See {@link VolatileDisk}. */
  readonly honestDisk?: boolean;
}

export class ApplianceMachine {
  /** Where its iSCSI portal is reached. */
  readonly portal: string;
  readonly #resources: Resources;
  readonly #directory: string;
  readonly #kernel: string;
  readonly #disk: VolatileDisk;
  readonly #port: number;
  #process: BackgroundProcess | undefined;

  private constructor(resources: Resources, options: ApplianceOptions, disk: VolatileDisk, port: number) {
    this.#resources = resources;
    this.#directory = options.directory;
    this.#kernel = options.guest.kernel;
    this.#disk = disk;
    this.#port = port;
    this.portal = `127.0.0.1:${port}`;
  }

  /** Makes its software and its data disk; it has no power yet. */
  static async make(resources: Resources, options: ApplianceOptions): Promise<ApplianceMachine> {
    const { directory, guest, config, honestDisk = true } = options;
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    await makeInitramfs(directory, guest, config);
    const image = join(directory, "data.raw");
    await runOrThrow(["truncate", "-s", `${DATA_DISK_MIB}M`, image]);
    await runOrThrow(["mkfs.xfs", "-q", image]);
    const disk = await VolatileDisk.open(resources, { image, socketPath: join(directory, "data.sock"), honest: honestDisk });
    return new ApplianceMachine(resources, options, disk, await freePort());
  }

  /** How often the data disk was told to flush. */
  get flushes(): number {
    return this.#disk.flushes;
  }

  get console(): string {
    return this.#process?.output.text ?? "";
  }

  /** Resolves when the daemon serves; throws with its last words. */
  async powerOn(): Promise<void> {
    this.#process = new BackgroundProcess(this.#resources, this.#commandLine());
    await this.#process.output.waitFor(/: ready\r?$/m, READY_TIMEOUT_MS);
  }

  /** As if the cord were pulled: QEMU is killed, and the disk's cache is lost but for what chance put on the medium. */
  async cutPower(): Promise<CacheFate> {
    await this.#process?.stop("SIGKILL");
    return this.#disk.cutPower();
  }

  #commandLine(): readonly string[] {
    return [
      "qemu-system-x86_64",
      ...["-machine", "q35,graphics=off", "-accel", "tcg,thread=multi", "-cpu", PROCESSOR, "-smp", "2", "-m", "768"],
      ...["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"],
      ...["-kernel", this.#kernel, "-initrd", join(this.#directory, "initramfs")],
      ...["-append", "console=ttyS0 quiet panic=-1 mitigations=off"],
      ...["-netdev", `user,id=rack,restrict=on,hostfwd=tcp:127.0.0.1:${this.#port}-${ADDRESS}:${ISCSI_PORT}`],
      ...["-device", "virtio-net-pci,netdev=rack,romfile="],
      ...["-blockdev", `driver=nbd,node-name=data,server.type=unix,server.path=${join(this.#directory, "data.sock")}`],
      ...["-device", "virtio-blk-pci,drive=data", "-device", "virtio-rng-pci"],
    ];
  }
}

/** The daemon with its Node, the modules that its kernel lacks, and an /init that starts it; everything in memory. */
async function makeInitramfs(directory: string, guest: Guest, config: Readonly<Record<string, unknown>>): Promise<void> {
  const root = join(directory, "root");
  for (const folder of ["bin", "dev", "proc", "sys", "data", "tmp", "modules", "rackboot"])
    mkdirSync(join(root, folder), { recursive: true });
  const programs = { busybox: "/bin/busybox", node: process.execPath };
  for (const [name, path] of Object.entries(programs)) copyFileSync(path, join(root, "bin", name));
  cpSync(join(ROOT, "dist"), join(root, "rackboot", "dist"), { recursive: true });
  cpSync(join(ROOT, "package.json"), join(root, "rackboot", "package.json"));
  for (const path of productionPackages()) cpSync(join(ROOT, path), join(root, "rackboot", path), { recursive: true });
  await copyLibraries(root, [...Object.values(programs), join(ROOT, "dist/src/native/rackboot.node")]);
  await copyModules(join(root, "modules"), guest);
  writeFileSync(join(root, "init"), INIT);
  chmodSync(join(root, "init"), 0o755);
  writeFileSync(
    join(root, "rackboot.yaml"),
    stringify({
      network: { interface: "eth0", address: `${ADDRESS}/24` },
      dhcp: { mode: "off" },
      iscsi: { port: ISCSI_PORT },
      storage: { path: "/data" },
      ...config,
    }),
  );
  await runOrThrow(["sh", "-c", "find . | busybox cpio -o -H newc > ../initramfs"], { cwd: root });
  rmSync(root, { recursive: true });
}

/** What `npm ci --omit=dev` would install, without Node itself. */
function productionPackages(): readonly string[] {
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly optional?: boolean }>>;
  };
  return Object.entries(lock.packages).flatMap(([path, { dev = false, optional = false }]) => {
    const nested = path.split("node_modules/").length !== 2;
    return dev || optional || nested || path === "node_modules/node" ? [] : [path];
  });
}

async function copyLibraries(root: string, programs: readonly string[]): Promise<void> {
  for (const program of programs) {
    for (const [path] of (await runOrThrow(["ldd", program])).matchAll(/\/\S+\.so\S*/g)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      copyFileSync(path, join(root, path));
    }
  }
}

/** Out of the guest's disk, with the modules that they need, in the order in which they can be loaded. */
async function copyModules(to: string, guest: Guest): Promise<void> {
  const debugfs = (command: string): Promise<string> => runOrThrow(["debugfs", "-R", command, guest.disk]);
  const [version = ""] = /[0-9]+\.[^/\s]+/.exec(await debugfs("ls -p /usr/lib/modules")) ?? [];
  const folder = `/usr/lib/modules/${version}`;
  const needs = new Map(
    (await debugfs(`cat ${folder}/modules.dep`)).split("\n").map((line) => {
      const [path = "", others = ""] = line.split(":");
      return [basename(path, ".ko"), [path, ...others.trim().split(" ")].filter((each) => each !== "").reverse()];
    }),
  );
  // A module that is not there is a part of the kernel.
  const paths = [...new Set(MODULES.flatMap((name) => needs.get(name) ?? []))];
  for (const path of paths) await debugfs(`dump ${folder}/${path} ${join(to, basename(path))}`);
  writeFileSync(join(to, "order"), paths.map((path) => basename(path)).join("\n"));
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
