import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BackgroundProcess } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";

/**
 * Servers of boot files on addresses of their own, since dnsmasq's TFTP knows no port but 69. tftpd-hpa is not among them: Debian
 * does not install it beside atftpd.
 */
export type FileServerName = "rackboot" | "atftpd" | "dnsmasq";

export const TFTP_PORT = 69;
export const HTTP_PORT = 80;
const ADDRESSES: Readonly<Record<FileServerName, string>> = {
  rackboot: "127.77.0.1",
  atftpd: "127.77.0.2",
  dnsmasq: "127.77.0.3",
};
const SETTLE_MS = 1500;
const RACKBOOT = join(import.meta.dirname, "..", "..", "dist", "src", "main.js");

export interface FileServer {
  readonly name: FileServerName;
  readonly address: string;
  readonly pid: number;
}

/** What `make build` made, with TFTP and HTTP and nothing to do besides. */
function rackboot(address: string, root: string, folder: string): readonly string[] {
  if (!existsSync(RACKBOOT)) throw new Error(`${RACKBOOT} is missing: run \`make build\` first`);
  mkdirSync(join(folder, "data"));
  const configuration = {
    network: { interface: "lo", address: `${address}/8` },
    dhcp: { mode: "off" },
    tftp: { port: TFTP_PORT, root, windowsize: 64 },
    http: { port: HTTP_PORT },
    iscsi: { port: 0, portals: [address] },
    storage: { path: join(folder, "data") },
  };
  // JSON is YAML, too.
  writeFileSync(join(folder, "rackboot.yaml"), JSON.stringify(configuration));
  return [process.execPath, RACKBOOT, "serve", "--config", join(folder, "rackboot.yaml"), "--socket", join(folder, "control.sock")];
}

function command(name: FileServerName, root: string, folder: string): readonly string[] {
  const address = ADDRESSES[name];
  switch (name) {
    case "rackboot":
      return rackboot(address, root, folder);
    case "atftpd":
      return ["atftpd", "--daemon", "--no-fork", "--bind-address", address, "--user", "root", "--group", "root", root];
    case "dnsmasq":
      return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--enable-tftp",
        `--tftp-root=${root}`,
        "--tftp-max=100",
        `--listen-address=${address}`,
        "--bind-interfaces",
        "--user=root",
        `--pid-file=${join(folder, "pid")}`,
      ];
  }
}

/** Starts it on files below `root`; it ends with `resources`. Needs root, for port 69. */
export async function startFileServer(resources: Resources, name: FileServerName, root: string): Promise<FileServer> {
  const folder = mkdtempSync(join(tmpdir(), `rackboot-bench-${name}-`));
  resources.defer(folder, () => rmSync(folder, { recursive: true, force: true }));
  const server = new BackgroundProcess(resources, command(name, root, folder));
  // None of the peers says when it is ready.
  if (name === "rackboot") await server.output.waitFor(/: ready$|\bready\b/m, 20_000);
  else await sleep(SETTLE_MS);
  if (!server.running) throw new Error(`${name} ended at its start: ${server.output.tail()}`);
  return { name, address: ADDRESSES[name], pid: server.pid };
}
