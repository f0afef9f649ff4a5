import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { stateOperations } from "../../src/control/operations.ts";
import { ControlServer } from "../../src/control/server.ts";
import { parseConfig } from "../../src/machine/config-file.ts";
import { followBoots } from "../../src/state/boot-events.ts";
import { Store } from "../../src/state/store.ts";
import { root, start, uefiBoot, uqbar } from "../state/uefi-boot.ts";

const main = join(import.meta.dirname, "../../src/main.ts");
const GOOD = `network: { interface: eth0, address: 172.16.0.1/24, manage: true }
volumes:
  uqbar-root: { size: 1T }
machines:
  uqbar: { mac: "52:54:00:16:00:10", address: 172.16.0.16, disks: [uqbar-root], initiator: iqn.1994-05.com.redhat:uqbar }
  tlon: { mac: "52:54:00:16:00:11" }
`;

/** The command starts in a second; a busy machine makes that many. */
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-cli-"));
  writeFileSync(join(folder, "good.yaml"), GOOD);
  writeFileSync(join(folder, "bad.yaml"), GOOD.replace("1T", "1X").replace("disks:", "disk:"));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command as a person does, in the folder with the files. */
function rackboot(...args: readonly string[]): Promise<Result> {
  const env = { ...process.env, RACKBOOT_SOCKET: join(folder, "control.sock") };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, ...args], { cwd: folder, env }, (_, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    );
  });
}

describe("rackboot check", () => {
  it("explains a bad file on stderr and fails", async () => {
    const { code, out, err } = await rackboot("check", "bad.yaml");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatchInlineSnapshot(`
      "bad.yaml:3:23: volumes.uqbar-root.size: found 1X; allowed: a size from 1M to 1P, such as 512M, 40G or 1T (powers of 1024)
      bad.yaml:5:60: machines.uqbar.disk: found an unknown key; allowed: disks (did you mean that?)
      bad.yaml cannot be used: 2 problems.
      "
    `);
  });

  it("says what a good file means, and notes what is not used", async () => {
    const { code, out, err } = await rackboot("check", "good.yaml");
    expect(code).toBe(0);
    expect(out.replaceAll(folder, "")).toMatchInlineSnapshot(`
      "good.yaml is good.

        network  eth0, 172.16.0.1/24
        dhcp     reservations only, lease 12h, unknown machines: ignore
        tftp     port 69
        http     port 80
        iscsi    172.16.0.1:3260
        storage  /data

        MACHINE  MAC                ADDRESS      BOOT   DISKS
        uqbar    52:54:00:16:00:10  172.16.0.16  disk   uqbar-root (1T)
        tlon     52:54:00:16:00:11  dynamic      local  no disks
      "
    `);
    expect(err).toMatchInlineSnapshot(`
      "note: good.yaml:6:3: machine tlon gets no address: it has no reservation, and there is no dhcp.range
      "
    `);
  });

  it("gives programs places to point at", async () => {
    const bad = await rackboot("check", "--json", "bad.yaml");
    expect(bad.code).toBe(1);
    expect(JSON.parse(bad.out).problems[0]).toMatchObject({
      file: "bad.yaml",
      line: 3,
      column: 23,
      key: "volumes.uqbar-root.size",
      found: "1X",
    });
    const good = await rackboot("check", "--json", "good.yaml");
    expect(JSON.parse(good.out)).toMatchObject({ ok: true, config: { volumes: { "uqbar-root": { source: { sizeBytes: 2 ** 40 } } } } });
  });
});

describe("rackboot serve", () => {
  it("does not start with a bad file, and explains it as check does", async () => {
    const [served, checked] = await Promise.all([rackboot("serve", "--config", "bad.yaml"), rackboot("check", "bad.yaml")]);
    expect(served).toEqual({ ...checked, code: 1 });
  });

  it.each([
    [["serve"]],
    [["serve", "--config", "good.yaml", "--log-format", "xml"]],
    [["serve", "--config", "good.yaml", "--log-level", "loud"]],
  ])("%j is wrong usage", async (args) => {
    const { code, err } = await rackboot(...args);
    expect(code).toBe(2);
    expect(err).toContain("error: ");
  });
});

describe("the command line", () => {
  it("has help with examples and exit codes everywhere", async () => {
    const commands = [[], ["serve"], ["check"], ["status"], ["machine", "list"], ["machine", "show"], ["events"], ["schema"]];
    for (const { code, out } of await Promise.all(commands.map((command) => rackboot(...command, "--help")))) {
      expect(code).toBe(0);
      expect(out).toContain("Examples:\n  $ rackboot");
      expect(out).toContain("Exit codes: 0 done, 1 failed, 2 wrong usage");
    }
  });

  it("knows its version, and guesses what a slip meant", async () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as { readonly version: string };
    expect(await rackboot("--version")).toEqual({ code: 0, out: `${version}\n`, err: "" });
    const slip = await rackboot("chekc", "good.yaml");
    expect(slip.code).toBe(2);
    expect(slip.err).toContain("Did you mean check?");
    expect((await rackboot()).code).toBe(2);
  });

  it("prints the schema that is published", async () => {
    const { out } = await rackboot("schema");
    expect(out).toBe(readFileSync(join(import.meta.dirname, "../../docs/rackboot.schema.json"), "utf8"));
  });

  it("says how to start the daemon where none runs", async () => {
    for (const { code, out, err } of await Promise.all([
      rackboot("status"),
      rackboot("machine", "list"),
      rackboot("machine", "show", "x"),
      rackboot("events"),
    ])) {
      expect([code, out]).toEqual([1, ""]);
      expect(err).toBe(
        `rackboot: cannot reach the daemon at ${folder}/control.sock: no daemon is running there. Start one with "rackboot serve --config FILE", or name its socket with --socket or RACKBOOT_SOCKET.\n`,
      );
    }
  });
});

describe("with a daemon,", () => {
  let store: Store;
  let server: ControlServer;
  let nowMs: number;

  beforeEach(async () => {
    nowMs = Date.now() - 200_000;
    store = new Store({ now: () => nowMs });
    followBoots(store, { loaderBegins: false, lastNumber: 0, onConfirmed: () => undefined });
    for (const event of start) store.emit(event);
    const reading = parseConfig(GOOD, "rackboot.yaml");
    const machines = reading.ok ? reading.config.machines : [];
    server = new ControlServer({
      path: join(folder, "control.sock"),
      operations: stateOperations({ store, version: "1.2.3", machines: () => machines }),
    });
    await server.listen();
  });
  afterEach(() => server.close());

  async function boot(events = uefiBoot): Promise<void> {
    for (const [ms, event] of events) {
      nowMs += ms;
      store.emit(event);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Ages and times are those of the day. */
  function timeless(text: string): string {
    return text
      .replace(/\d+ (s|min) ago/g, "AGE ago")
      .replace(/since \d+ (s|min)/g, "since AGE")
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, "TIME")
      .replace(/pid \d+/, "pid N");
  }

  it("status shows services, machines on their way, and what is wrong", async () => {
    await boot(uefiBoot.slice(0, uefiBoot.findLastIndex(([, event]) => event.type === "transfer.progressed") + 1));
    store.emit({ type: "volume.full", volume: root });
    store.emit({ type: "config.rejected", file: "rackboot.yaml", problems: ["rackboot.yaml:1:1: found x; allowed: y"] });
    const { code, out } = await rackboot("status");
    expect(code).toBe(0);
    expect(timeless(out)).toMatchInlineSnapshot(`
      "rackboot 1.2.3 (pid N): ready since AGE; rackboot.yaml, read AGE ago

      Services
        iscsi  up  on 172.16.0.1:3260

      Machines
        uqbar  booting  172.16.0.16     kernel, since AGE; /initrd.img (initramfs) over tftp, 50%
        tlon   off      no address yet  never booted from here

      On their way
        uqbar  /initrd.img (initramfs) over tftp, 50%

      Wrong
        volume uqbar-root  full     no space left where the volume is stored (AGE ago)
        configuration      refused  rackboot.yaml:1:1: found x; allowed: y
      "
    `);
  });

  it("machine show draws where the time of a boot went", async () => {
    await boot();
    const { code, out } = await rackboot("machine", "show", "uqbar");
    expect(code).toBe(0);
    expect(timeless(out)).toMatchInlineSnapshot(`
      "uqbar
        status     up
        seen       AGE ago
        mac        52:54:00:16:00:10
        address    172.16.0.16
        boot       disk
        target     iqn.2026-01.lan.rackboot:uqbar
        initiator  iqn.1994-05.com.redhat:uqbar
        LUN 0      uqbar-root
        session    iqn.1994-05.com.redhat:uqbar from 172.16.0.16:40314, since AGE

      boot 1, began TIME, uefi-x64-pxe: up
           0.0 s    +0.0 s  discover    ━                                          firmware asks for an address
           0.0 s    +0.0 s  offer       ━                                          address and boot file offered
           4.5 s    +4.5 s  loader      ━━                                         boot loader sent
           5.9 s    +1.4 s  config        ━                                        boot loader's configuration sent
          13.9 s    +8.0 s  kernel         ━━━━━                                   kernel sent
          55.9 s   +42.0 s  initramfs           ━━━━━━━━━━━━━━━━━━━━━━             initramfs sent
          65.8 s    +9.8 s  login                                     ━━━━━━       iSCSI session
          65.8 s    +0.1 s  first-read                                      ━      first read of its disk
          73.8 s    +8.0 s  up                                              ━━━━   running system holds the disk
      "
    `);
    expect(JSON.parse((await rackboot("machine", "show", "--json", "uqbar")).out)).toMatchObject({
      status: "up",
      boots: [{ outcome: "up" }],
      sessions: [{}],
    });
  });

  it("machine list has every machine, also those that never came", async () => {
    await boot();
    expect(timeless((await rackboot("machine", "list")).out)).toMatchInlineSnapshot(`
      "  uqbar  up   172.16.0.16     up after 73.8 s, AGE ago
        tlon   off  no address yet  never booted from here
      "
    `);
    expect(JSON.parse((await rackboot("machine", "list", "--json")).out)).toMatchObject([{ name: "uqbar" }, { name: "tlon" }]);
  });

  it("machine show of a name that no machine has fails", async () => {
    const { code, err } = await rackboot("machine", "show", "orbis");
    expect([code, err]).toEqual([1, 'rackboot: there is no machine orbis; "rackboot machine list" names them all\n']);
  });

  it("status --json is the state itself", async () => {
    expect(JSON.parse((await rackboot("status", "--json")).out)).toMatchObject({ version: "1.2.3", state: { daemon: { phase: "ready" } } });
  });

  function follow(...args: readonly string[]): { readonly child: ChildProcess; readonly lines: AsyncIterator<string> } {
    const child = spawn(process.execPath, [main, ...args, "--socket", join(folder, "control.sock")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
  }

  it("events follows a machine until Ctrl-C, which is no failure", async () => {
    const { child, lines } = follow("events", "--machine", "uqbar");
    const ticking = setInterval(() => {
      store.emit({ type: "daemon.ready" });
      store.emit({ type: "boot.began", machine: uqbar, boot: 9, firmware: "ipxe-bios" });
    }, 50);
    const { value } = await lines.next();
    clearInterval(ticking);
    expect(value).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}uqbar boots \(ipxe-bios\)$/);
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  it("status --watch goes on until Ctrl-C", async () => {
    const { child, lines } = follow("status", "--watch");
    expect((await lines.next()).value).toContain("rackboot 1.2.3");
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});
