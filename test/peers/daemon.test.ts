import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BRIDGE, NetworkNamespace, SERVER_ADDRESS } from "../harness/netns.ts";
import { BackgroundProcess, type Result, run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { LoopbackDaemon, PORTS } from "./loopback-daemon.ts";
import { problemsOfMetrics } from "./prometheus-text.ts";

/** The daemon as a person starts it, and what it says where it cannot do what it should. */

/** No capability is left: what an unprivileged user may do, whoever runs the tests. */
const UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
const MACHINE = { mac: "52:54:00:16:00:10", disks: ["uqbar-root"], initiator: "any" };
const RACK = { volumes: { "uqbar-root": { size: "64M" } }, machines: { uqbar: MACHINE } };

let resources: Resources;
let daemon: LoopbackDaemon;

beforeEach(() => {
  resources = new Resources();
  daemon = new LoopbackDaemon(resources);
});
afterEach(() => resources.close());

/** One sentence on stderr, nothing on stdout, exit code 1. */
function refusalOf({ code, stdout, stderr }: Result): string {
  expect([code, stdout]).toEqual([1, ""]);
  const fatal = stderr.split("\n").filter((line) => line !== "" && !/(INFO|WARN): /.test(line));
  expect(fatal).toHaveLength(1);
  expect(stderr).not.toMatch(/^\s+at /m);
  return fatal[0] ?? "";
}

/** A program that has a port: `udp` or `tcp`, shared with whoever shares as well. */
async function occupy(protocol: "udp" | "tcp", address: string, port: number, prefix: readonly string[] = []): Promise<void> {
  const udp = `require("node:dgram").createSocket({ type: "udp4", reuseAddr: true }).bind(${port}, "${address}", () => console.log("has it"))`;
  const tcp = `require("node:net").createServer().listen(${port}, "${address}", () => console.log("has it"))`;
  const program = new BackgroundProcess(resources, [process.execPath, "-e", protocol === "udp" ? udp : tcp], { prefix });
  await program.output.waitFor(/has it/, 10_000);
}

describe("a daemon that cannot start says why in one sentence, with the next step:", () => {
  it("a bad configuration, with file, line, key, what was found and what is allowed", async () => {
    writeFileSync(daemon.config, daemon.text({ ...RACK, iscsi: { port: 99_999 } }));
    const { code, stderr } = await daemon.refusal();
    expect(code).toBe(1);
    expect(stderr).toMatch(/rackboot\.yaml:\d+:\d+: iscsi\.port: found 99999; allowed: a port/);
    expect(stderr).toContain("cannot be used: one problem.");
  });

  it("a configuration that it may not read, or that is not there", async () => {
    expect((await daemon.refusal()).stderr).toContain("found no such file; allowed: a YAML file that can be read");
    writeFileSync(daemon.config, daemon.text(RACK), { mode: 0 });
    const { code, stderr } = await daemon.refusal(UNPRIVILEGED);
    expect([code, stderr]).toEqual([1, expect.stringContaining("found a file that this user may not read")]);
  });

  it("an interface that is not there, and one without the address", async () => {
    daemon.write({ network: { interface: "eth99", address: "172.16.0.1/24" } });
    expect(refusalOf(await daemon.refusal())).toMatch(/there is no interface eth99 .*ip address add 172\.16\.0\.1\/24 dev eth99$/);
    daemon.write({ network: { interface: "lo", address: "172.16.0.1/24" } });
    expect(refusalOf(await daemon.refusal())).toMatch(/network\.address: lo has 127\.0\.0\.1, not 172\.16\.0\.1\. Correct one of them/);
  });

  it.each([
    ["udp", PORTS.tftp, /TFTP cannot listen on \S+: another program has the port\. `ss .*stop it, or set another tftp port/],
    ["tcp", PORTS.http, /HTTP cannot listen on \S+: another program has the port\. `ss .*stop it, or set another http port/],
    ["tcp", PORTS.iscsi, /portal \S+ is in use by another program\. Stop it, or choose another port/],
    ["udp", PORTS.dhcp, /DHCP cannot start: UDP port 6767 is in use by another program: stop the other DHCP server/],
  ] as const)("a %s port %i that another program has", async (protocol, port, sentence) => {
    daemon.write({ ...RACK, dhcp: { port: PORTS.dhcp } });
    await occupy(protocol, daemon.address, port);
    expect(refusalOf(await daemon.refusal())).toMatch(sentence);
  });

  it("the DHCP port that another DHCP server has on the same network, even if that one is ready to share it", async () => {
    const box = await NetworkNamespace.create(resources);
    daemon.write({ network: { interface: BRIDGE, address: `${SERVER_ADDRESS}/24` }, dhcp: {} });
    await occupy("udp", "0.0.0.0", 67, box.prefix);
    expect(refusalOf(await daemon.refusal(box.prefix))).toContain("UDP port 67 is in use by another program: stop the other DHCP server");
  });

  it.each([
    ["tftp", { tftp: { port: 69 } }, /TFTP cannot listen on \S+:69: ports below 1024 need root or CAP_NET_BIND_SERVICE/],
    ["http", { http: { port: 80 } }, /HTTP cannot listen on \S+:80: ports below 1024 need root or CAP_NET_BIND_SERVICE/],
    ["iscsi", { iscsi: { port: 860 } }, /portal \S+:860: a port below 1024 needs CAP_NET_BIND_SERVICE/],
    ["dhcp", { dhcp: {} }, /DHCP cannot start: no permission for UDP port 67: run as root or with CAP_NET_BIND_SERVICE/],
  ] as const)("no permission for the port of %s", async (_, keys, sentence) => {
    const box = await NetworkNamespace.create(resources);
    daemon.write({ ...RACK, ...keys });
    expect(refusalOf(await daemon.refusal([...box.prefix, ...UNPRIVILEGED]))).toMatch(sentence);
  });

  it("a kernel, or a container, without io_uring", async () => {
    const program = join(daemon.folder, "without-io-uring");
    await runOrThrow(["g++", "-o", program, join(import.meta.dirname, "without-io-uring.cc")]);
    daemon.write(RACK);
    expect(refusalOf(await daemon.refusal([program]))).toMatch(/may not use io_uring\. In a container, allow io_uring_setup/);
  });

  it("a storage or a control socket that another daemon has", async () => {
    daemon.write(RACK);
    await daemon.start();
    const other = new LoopbackDaemon(resources);
    other.write({ ...RACK, storage: { path: daemon.storage } });
    expect(refusalOf(await other.refusal())).toMatch(/state\.sqlite is in use by another rackboot\. Stop that one, or give this one/);
    other.write(RACK);
    expect(refusalOf(await run(other.command(["--socket", daemon.socket]), { timeoutMs: 30_000 }))).toMatch(
      /another rackboot listens on \S+control\.sock\. Stop it, or choose another with --socket/,
    );
    expect((await daemon.status()).state.daemon.phase).toBe("ready");
  });
});

describe("a daemon that runs", () => {
  it("needs no privilege with DHCP off and high ports", async () => {
    daemon.write(RACK);
    await daemon.start(UNPRIVILEGED);
    const told = await runOrThrow(["iscsi-ls", `iscsi://${daemon.portal}`]);
    expect(told).toContain("Target:iqn.2026-01.lan.rackboot:uqbar");
  });

  it("tells Prometheus in its own format, and whoever asks that it is alive", async () => {
    daemon.write(RACK);
    await daemon.start();
    await run(["iscsi-inq", `iscsi://${daemon.portal}/iqn.2026-01.lan.rackboot:nobody/0`]);
    await fetch(`${daemon.url}/"quoted\\path`);
    const text = await daemon.metrics();
    expect(problemsOfMetrics(text)).toEqual([]);
    expect(text).toMatch(/^rackboot_machines\{status="off"\} 1$/m);
    expect(await (await fetch(`${daemon.url}/healthz`)).text()).toBe("ok\n");
  });

  it("says each thing once, a line each", async () => {
    daemon.write(RACK);
    await daemon.start();
    await run(["iscsi-inq", `iscsi://${daemon.portal}/iqn.2026-01.lan.rackboot:nobody/0`]);
    await daemon.stop();
    const lines = daemon.log.trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(/^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] (INFO|WARN): \S/);
    const sentences = lines.map((line) => line.replace(/^\[.*?\] /, ""));
    expect(new Set(sentences).size).toBe(sentences.length);
    expect(sentences.filter((line) => line.includes("may not log in"))).toHaveLength(1);
    expect(sentences).toContain(`INFO: configuration ${daemon.config}: 1 machine, 1 volume`);
  });

  it.each(["text", "json"])("goes on when nobody can take its log any more: %s", async (format) => {
    daemon.write(RACK);
    const mute = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"];
    const process = new BackgroundProcess(resources, daemon.command(["--log-format", format]), { prefix: mute });
    await expect.poll(() => daemon.status().then(({ state }) => state.daemon.phase, String), { timeout: 15_000 }).toBe("ready");
    await run(["iscsi-inq", `iscsi://${daemon.portal}/iqn.2026-01.lan.rackboot:nobody/0`]);
    expect(await daemon.happened("iscsi.refused")).toBe(1);
    expect(await process.stop()).toEqual({ code: 0, signal: null });
  });

  it("serves nothing from outside of what a machine may read", async () => {
    const root = join(daemon.folder, "extra");
    mkdirSync(root);
    writeFileSync(join(root, "memtest.efi"), "for everybody");
    writeFileSync(join(daemon.folder, "secret"), "for nobody");
    symlinkSync("../secret", join(root, "link"));
    symlinkSync("..", join(root, "up"));
    daemon.write({ ...RACK, tftp: { port: PORTS.tftp, root } });
    await daemon.start();
    const curl = (path: string): Promise<string> =>
      runOrThrow(["curl", "-s", "--path-as-is", "-o", "-", "-w", "%{http_code}", `${daemon.url}/${path}`]);
    expect(await curl("memtest.efi")).toBe("for everybody200");
    const outside = ["../secret", "%2e%2e/secret", "..%2fsecret", "..\\secret", "link", "up/secret", "up/data/state.sqlite"];
    for (const path of [...outside, "/etc/passwd", "%00", "rackboot.yaml"]) expect(await curl(path)).toMatch(/404$/);
    for (const path of [...outside, "../../../../etc/passwd", "/etc/passwd"]) {
      const get = ["-m", "octet", daemon.address, String(PORTS.tftp), "-c", "get", path, join(daemon.folder, "got")];
      const { stdout, stderr } = await run(["tftp", ...get]);
      expect(stdout + stderr).toMatch(/not found/i);
    }
    expect(await daemon.happened("file.refused")).toBeGreaterThanOrEqual(outside.length * 2);
  });
});
