import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { RACKBOOT } from "../harness/daemon.ts";
import { type Result, run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { makeIso, PACKAGE, rhelFiles, writeTree } from "../image/media.ts";
import { LoopbackDaemon, PORTS } from "./loopback-daemon.ts";

/** A whole daemon and a medium of RHEL's layout: from the command that imports it to the word that it is installed. */

const SECRET = "correct-horse-battery";
const files = rhelFiles("8.10");
let resources: Resources;
let daemon: LoopbackDaemon;
let iso: string;

beforeEach(async () => {
  resources = new Resources();
  daemon = new LoopbackDaemon(resources);
  writeTree(join(daemon.folder, "tree"), files);
  iso = join(daemon.folder, "rhel-8.10.iso");
  await makeIso(join(daemon.folder, "tree"), iso);
});
afterEach(() => resources.close());

async function start(boot: unknown = { install: "rhel-8.10", profile: "minimal" }): Promise<void> {
  const secrets = join(daemon.folder, "secrets.yaml");
  writeFileSync(secrets, stringify({ uqbar: { user: "uqbar", secret: SECRET } }), { mode: 0o600 });
  daemon.write({
    iscsi: { port: PORTS.iscsi, secrets },
    machines: {
      uqbar: { mac: "52:54:00:16:00:10", address: daemon.host(16), chap: true, disks: [{ size: "8G" }], boot },
      tlon: { mac: "52:54:00:16:00:11", address: daemon.host(17), disks: [{ size: "8G" }] },
    },
  });
  await daemon.start();
}

function rackboot(...words: readonly string[]): Promise<Result> {
  return run([process.execPath, "--no-warnings", RACKBOOT, ...words, "--socket", daemon.socket]);
}

/** As a machine asks; host 16 is uqbar, 17 tlon. */
function curl(host: number, path: string, ...options: readonly string[]): Promise<Result> {
  const url = path.startsWith("tftp:") ? path : `${daemon.url}${path}`;
  return run(["curl", "-sSf", "--path-as-is", "--interface", daemon.host(host), "-o", join(daemon.folder, "got"), ...options, url]);
}
async function get(host: number, path: string, ...options: readonly string[]): Promise<Buffer> {
  const { code, stderr } = await curl(host, path, ...options);
  if (code !== 0) throw new Error(`${path}: ${stderr}`);
  return readFileSync(join(daemon.folder, "got"));
}
async function menu(): Promise<string> {
  await get(16, `tftp://${daemon.address}:${PORTS.tftp}/uqbar/bootx64.efi`);
  return (await get(16, "/uqbar/grub.cfg")).toString();
}

describe("a machine that installs", () => {
  test("is led from the medium's own shim to a kickstart of its own, and boots its disk when that says that it is done", async () => {
    await start();
    expect(await menu()).toContain("there is no image rhel-8.10; import it with");
    const imported = await rackboot("image", "import", iso);
    expect([imported.code, imported.stdout]).toEqual([0, expect.stringContaining("image rhel-8.10 is imported")]);

    expect((await get(16, `tftp://${daemon.address}:${PORTS.tftp}/uqbar/bootx64.efi`)).toString()).toContain("shim of the medium");
    expect((await get(16, "/uqbar/grubx64.efi")).toString()).toContain("GRUB of the medium");
    // Whoever asks before the installer was handed out is not the installer.
    expect((await curl(16, "/uqbar/install/kickstart.cfg")).code).not.toBe(0);
    const text = await menu();
    expect(text).toContain("linux $server/uqbar/entry/0/vmlinuz");
    expect(text).toContain(`inst.repo=${daemon.url}/uqbar/tree/ inst.ks=${daemon.url}/uqbar/install/kickstart.cfg inst.nonibftiscsiboot`);
    expect(text).not.toContain("netroot=");
    expect((await get(16, "/uqbar/entry/0/vmlinuz")).equals(files.get("images/pxeboot/vmlinuz") ?? Buffer.alloc(0))).toBe(true);
    expect((await get(16, "/uqbar/entry/0/initrd")).equals(files.get("images/pxeboot/initrd.img") ?? Buffer.alloc(0))).toBe(true);

    const kickstart = (await get(16, "/uqbar/install/kickstart.cfg")).toString();
    expect(kickstart).toContain(`--user=uqbar --password=${SECRET}`);
    expect(text).not.toContain(SECRET);
    const [finished = ""] = /http:\S+finished/.exec(kickstart) ?? [];
    const path = finished.slice(daemon.url.length);
    for (const other of [path.replace(/[0-9a-f]{32}/, "0".repeat(32)), path.replace("finished", "x")]) {
      expect((await curl(16, other, "-X", "POST")).code).not.toBe(0);
    }
    expect((await curl(17, path, "-X", "POST")).code).not.toBe(0);
    expect((await curl(16, path)).code).not.toBe(0);
    expect((await get(16, "/uqbar/grub.cfg")).toString()).toContain("inst.ks=");
    expect((await curl(16, path, "-X", "POST")).code).toBe(0);
    await daemon.says(/uqbar is installed from image rhel-8.10; it boots its disk from now on/);
    expect(await menu()).not.toContain("inst.ks=");
    expect((await curl(16, "/uqbar/install/kickstart.cfg")).code).not.toBe(0);
    expect(daemon.log).not.toContain(SECRET);

    await daemon.stop();
    await daemon.start();
    expect(await menu()).not.toContain("inst.ks=");
    expect((await rackboot("machine", "install", "uqbar", "rhel-8.10")).stdout).toContain("uqbar installs rhel-8.10 at its next boot");
    expect(await menu()).toContain("inst.ks=");
    expect(await rackboot("machine", "install", "uqbar", "--cancel")).toMatchObject({ code: 0, stderr: "" });
    expect(await menu()).not.toContain("inst.ks=");
  });

  test("reads every file of its image, whole and in ranges, and no other machine reads any", async () => {
    await start();
    expect((await rackboot("image", "import", iso)).code).toBe(0);
    const whole = files.get(PACKAGE) ?? Buffer.alloc(0);
    expect((await get(16, `/uqbar/tree/${PACKAGE}`)).equals(whole)).toBe(true);
    expect((await get(16, `/uqbar/tree/${PACKAGE}`, "-r", "1000000-1999999")).equals(whole.subarray(1_000_000, 2_000_000))).toBe(true);
    expect((await get(16, `/uqbar/tree/${PACKAGE}`, "-r", "-7")).equals(whole.subarray(-7))).toBe(true);
    expect((await get(16, "/uqbar/tree/.treeinfo")).toString()).toContain("[release]");
    for (const [host, path] of [
      [17, `/uqbar/tree/${PACKAGE}`],
      [17, `/tlon/tree/${PACKAGE}`],
      [16, `/tlon/tree/${PACKAGE}`],
      [16, "/uqbar/tree/../../image.json"],
      [16, "/uqbar/tree/images"],
      [17, "/uqbar/install/kickstart.cfg"],
    ] as const) {
      expect((await curl(host, path)).stderr, path).toContain("404");
    }
  });

  test("is told on its screen what is wrong with its profile, before an installer starts", async () => {
    await start({ install: "rhel-8.10", profile: "web" });
    expect((await rackboot("image", "import", iso)).code).toBe(0);
    expect(await menu()).toContain("there is no profile web");
    mkdirSync(join(daemon.storage, "profiles"));
    writeFileSync(join(daemon.storage, "profiles", "web.ks"), "%packages\nnginx\n");
    expect(await menu()).toContain("the section %packages of line 1 has no %end");
    writeFileSync(join(daemon.storage, "profiles", "web.ks"), "%packages\nnginx\n%end\n");
    expect(await menu()).toContain("inst.ks=");
    expect((await get(16, "/uqbar/install/kickstart.cfg")).toString()).toContain("\nnginx\n");
  });
});

test("a machine that is rescued starts the medium's rescue system with its disk attached", async () => {
  await start({ rescue: "rhel-8.10" });
  expect((await rackboot("image", "import", iso)).code).toBe(0);
  expect(await menu()).toContain("inst.rescue");
  const kickstart = (await get(16, "/uqbar/install/kickstart.cfg")).toString();
  expect(kickstart).toContain("iscsiname ");
  expect(kickstart).toContain("rescue --nomount\n");
  expect(kickstart).not.toContain("clearpart");
});

describe("images on the command line", () => {
  test("are listed, shown and deleted, for people and for programs", async () => {
    await start();
    expect((await rackboot("image", "list")).stdout).toContain("no images yet");
    await runOrThrow([
      "sh",
      "-c",
      `exec "$0" "$@" <${iso}`,
      process.execPath,
      "--no-warnings",
      RACKBOOT,
      "image",
      "import",
      "-",
      "--name",
      "rhel",
      "--socket",
      daemon.socket,
    ]);
    expect((await rackboot("image", "list")).stdout).toMatch(/rhel +Red Hat Enterprise Linux 8.10 +x64 /);
    expect(JSON.parse((await rackboot("image", "show", "rhel", "--json")).stdout)).toMatchObject({
      version: "8.10",
      verified: 3,
      packages: true,
    });
    expect((await rackboot("image", "delete", "rhel")).stdout).toBe("image rhel is deleted\n");
  });

  test("that cannot be are refused with a sentence, and nothing is changed", async () => {
    await start("disk");
    writeFileSync(join(daemon.folder, "not.iso"), "hello");
    writeFileSync(join(daemon.folder, "short.iso"), readFileSync(iso).subarray(0, 4_000_000));
    const changed = new Map([...files, ["images/install.img", Buffer.from("other")]] as const);
    await makeIso(writeTree(join(daemon.folder, "changed"), changed), join(daemon.folder, "changed.iso"));
    changed.delete(".treeinfo");
    await makeIso(writeTree(join(daemon.folder, "bare"), changed), join(daemon.folder, "bare.iso"));
    for (const [words, reason] of [
      [["image", "import", join(daemon.folder, "short.iso")], "short.iso: it ends before its file images/"],
      [
        ["image", "import", join(daemon.folder, "changed.iso")],
        "images/install.img is not what its .treeinfo says (SHA-256); copy it anew",
      ],
      [["image", "import", join(daemon.folder, "bare.iso")], "it has neither the .treeinfo of RHEL and its rebuilds nor"],
      [["image", "import", iso, "--name", "rhel/8"], "is not the name of an image"],
      [["image", "import", join(daemon.folder, "not.iso")], "it is no ISO 9660 image: name the medium's .iso file"],
      [["image", "import", join(daemon.folder, "gone.iso")], "does not exist"],
      [["image", "show", "nothing"], "there is no image nothing; import it with"],
      [["image", "delete", "../up"], "is not the name of an image"],
      [["machine", "install", "uqbar", "nothing"], "there is no image nothing"],
      [["machine", "install", "nobody", "rhel"], "there is no machine nobody"],
    ] as const) {
      const { code, stderr } = await rackboot(...words);
      expect([code, stderr]).toEqual([1, expect.stringContaining(reason)]);
      expect(stderr.trimEnd().split("\n"), stderr).toHaveLength(1);
    }
    expect((await rackboot("machine", "install", "uqbar")).code).toBe(2);
    expect((await rackboot("image", "import", "-")).code).toBe(2);
    expect((await rackboot("image", "list")).stdout).toContain("no images yet");
    expect(readdirSync(join(daemon.storage, "images"))).toEqual([]);
  });

  test("are deleted although machines boot them, which say so on their screens", async () => {
    await start();
    expect((await rackboot("image", "import", iso)).code).toBe(0);
    expect(await menu()).toContain("inst.ks=");
    expect((await rackboot("image", "delete", "rhel-8.10")).code).toBe(0);
    expect(await menu()).toContain("there is no image rhel-8.10; import it with");
    expect((await curl(16, `/uqbar/tree/${PACKAGE}`)).stderr).toContain("404");
  });
});
