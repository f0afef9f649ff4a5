import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nothing } from "../../src/boot/plan.ts";
import { BootResolver } from "../../src/boot/resolver.ts";
import { TFTP_ERROR } from "../../src/tftp/packet.ts";
import { raw, serve as serveHttp } from "../http/rig.ts";
import { RawClient, serve as serveTftp } from "../tftp/rig.ts";
import { FACTS, folderWith, kernelBoot, machine } from "./support.ts";

/** Every trick with a path, on the wire, at both servers with the resolver behind them: not found, whatever lies there. */

function rack(): BootResolver {
  const folder = folderWith({
    "root/common/readme": "for everybody",
    "root-private/key": "secret",
    "outside/secret": "secret",
    "tlon/vmlinuz": "secret",
    "uqbar/vmlinuz": "kernel",
    "uqbar/initrd": "initramfs",
  });
  symlinkSync(join(folder, "outside/secret"), join(folder, "root/link"));
  symlinkSync(join(folder, "outside"), join(folder, "root/folder"));
  symlinkSync("/", join(folder, "root/slash"));
  symlinkSync("loop", join(folder, "root/loop"));
  const loaders = { usual: new Map(), ipxe: new Map() };
  const isMachine = (name: string): boolean => name === "uqbar" || name === "tlon";
  return new BootResolver({ facts: FACTS, loaders, root: join(folder, "root"), isMachine, diskPlan: async () => nothing("no disk") });
}

function uqbar() {
  return machine("uqbar", { boot: kernelBoot({ kernel: "/nowhere/vmlinuz", initrd: "/nowhere/initrd" }) });
}

const PLAIN = [
  ...["..", ".", "/", "", "common", "common/", "link", "folder/secret", "slash/etc/passwd", "loop", "loop/x"],
  ...["../root-private/key", "../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "common/../../outside/secret"],
  ...["..\\root-private\\key", "\\..\\..\\etc\\passwd", "common\\..\\..\\outside\\secret", "....//....//etc/passwd", "..;/etc/passwd"],
  ...[
    "tlon/vmlinuz",
    "TLON/../tlon/vmlinuz",
    "/tlon//vmlinuz",
    "\\tlon\\vmlinuz",
    "uqbar/../tlon/vmlinuz",
    "tlon/grub.cfg",
    "tlon/boot.ipxe",
  ],
  ...["common/readme\x01", "common/readme/..", "C:\\common\\readme", "~root/.profile", "a".repeat(400)],
];

test.each(PLAIN)("TFTP: %j is not found", async (filename) => {
  const { server, events } = await serveTftp(rack(), {}, uqbar());
  const client = await RawClient.open();
  client.send(Buffer.from(`\0\x01${filename}\0octet\0`, "latin1"), server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "error", code: TFTP_ERROR.notFound });
  expect(events.some(({ type }) => type === "transfer.started")).toBe(false);
});

test("TFTP: a name ends where its NUL is, and what comes after it is no name", async () => {
  const { server } = await serveTftp(rack(), {}, uqbar());
  const client = await RawClient.open();
  client.send(Buffer.from("\0\x01common/readme\0.efi\0octet\0", "latin1"), server.port);
  expect((await client.next())?.packet).toMatchObject({ kind: "error" });
});

const ESCAPED = [
  ...["/%2e%2e/%2e%2e/etc/passwd", "/%2E%2E%2froot-private%2fkey", "/..%5croot-private%5ckey", "/common/%2e%2e/%2e%2e/outside/secret"],
  ...[
    "/%252e%252e/etc/passwd",
    "/common/readme%00",
    "/common/readme%00.efi",
    "/%00/common/readme",
    "/%c0%ae%c0%ae/etc/passwd",
    "/%u002e%u002e/x",
  ],
  ...[
    "/tlon%2fvmlinuz",
    "/%74lon/vmlinuz",
    "http://x/tlon/vmlinuz",
    "http://tlon/../../etc/passwd",
    "/;/../outside/secret",
    "/%zz",
    "*",
    "common/readme",
  ],
];

test.each([...PLAIN.map((path) => `/${path}`), ...ESCAPED])("HTTP: %j is not found", async (target) => {
  const parts = { machineAt: uqbar };
  const { server, events } = await serveHttp(rack(), {}, new Map(), parts);
  const answer = await raw(server.port, Buffer.from(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, "latin1"));
  expect(answer).toMatch(/^HTTP\/1\.1 40[04] /);
  expect(answer).not.toMatch(/secret|root:|initramfs/);
  expect(events.some(({ type }) => type === "transfer.started")).toBe(false);
});

test("what everybody may read is read by every spelling of its name", async () => {
  const { server } = await serveHttp(rack(), {}, new Map(), { machineAt: uqbar });
  for (const target of [
    "/common/readme",
    "//common//readme",
    "/common/./readme",
    "/common/readme/",
    "/common\\readme",
    "/%63ommon/readme",
    "/x/../common/readme?y",
  ]) {
    expect(await raw(server.port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toMatch(/for everybody$/);
  }
});
