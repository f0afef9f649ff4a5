import { createSocket } from "node:dgram";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { vector } from "../dhcp/support.ts";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { LoopbackDaemon, PORTS } from "./loopback-daemon.ts";

/** What a machine has open when its firmware asks anew, or when somebody says so in its name. */

/** More than the buffers of a connection hold, so that the download is under way for as long as nobody reads. */
const KERNEL_BYTES = 64 << 20;

let resources: Resources;
let daemon: LoopbackDaemon;

beforeEach(async () => {
  resources = new Resources();
  daemon = new LoopbackDaemon(resources);
  const file = (name: string, octets: Uint8Array): string => {
    writeFileSync(join(daemon.folder, name), octets);
    return join(daemon.folder, name);
  };
  const boot = {
    kernel: file("vmlinuz", Buffer.alloc(KERNEL_BYTES, "k")),
    initrd: file("initrd", Buffer.from("initramfs")),
    loader: file("grubx64.efi", Buffer.from("loader")),
    arguments: "ro",
  };
  daemon.write({
    dhcp: { port: PORTS.dhcp },
    machines: { uqbar: { mac: "52:54:00:16:00:10", address: daemon.host(16), boot } },
  });
  await daemon.start();
});
afterEach(() => resources.close());

/** Asks for the kernel as the machine, and reads no further than the start of the answer. */
async function download(): Promise<{ readonly socket: Socket; readonly ended: Promise<number | string> }> {
  const socket = connect({ port: PORTS.http, host: daemon.address, localAddress: daemon.host(16) });
  resources.defer("a download", () => void socket.destroy());
  let octets = 0;
  const ended = new Promise<number | string>((resolve) => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("end", () => resolve(octets));
  });
  socket.write("GET /uqbar/vmlinuz HTTP/1.1\r\nHost: rack\r\nConnection: close\r\n\r\n");
  await new Promise<void>((resolve) =>
    socket.once("data", (chunk: Buffer) => {
      octets += chunk.length;
      socket.pause();
      resolve();
    }),
  );
  socket.on("data", (chunk: Buffer) => {
    octets += chunk.length;
  });
  socket.pause();
  return { socket, ended };
}

/** Anybody who knows the MAC address can send it. */
async function discover(): Promise<void> {
  const before = await daemon.happened("dhcp.offered");
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.send(vector("ovmf-pxe-discover"), PORTS.dhcp, daemon.address, () => resolve()));
  socket.close();
  await expect.poll(() => daemon.happened("dhcp.offered")).toBeGreaterThan(before);
}

it("a machine's download is not ended by a DISCOVER that anybody sends in its name", async () => {
  const { socket, ended } = await download();
  await discover();
  await discover();
  socket.resume();
  expect(await ended).toBeGreaterThan(KERNEL_BYTES);
});

it("what a machine had open before it restarted is reset when its firmware asks for its loader", async () => {
  const { socket, ended } = await download();
  await discover();
  const loader = `tftp://${daemon.address}:${PORTS.tftp}/uqbar/grubx64.efi`;
  expect(await runOrThrow(["curl", "-sSf", "--interface", daemon.host(16), loader])).toBe("loader");
  socket.resume();
  expect(await ended).toBe("ECONNRESET");
});
