import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BackgroundProcess } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";
import { unpackedPackage } from "./debian-package.ts";

/** Servers of boot files on addresses of their own, since dnsmasq's TFTP knows no port but 69. */
export type FileServerName = "rackboot" | "atftpd" | "tftpd-hpa" | "dnsmasq" | "nginx";

export const TFTP_PORT = 69;
export const HTTP_PORT = 80;
const ADDRESSES: Readonly<Record<FileServerName, string>> = {
  rackboot: "127.77.0.1",
  atftpd: "127.77.0.2",
  dnsmasq: "127.77.0.3",
  "tftpd-hpa": "127.77.0.4",
  nginx: "127.77.0.5",
};
const SETTLE_MS = 1500;
const RACKBOOT = join(import.meta.dirname, "..", "..", "dist", "src", "main.js");

export interface FileServer {
  readonly name: FileServerName;
  readonly address: string;
  readonly pid: number;
}

/** Where one server runs: what it serves, and a folder for what it needs itself. */
interface Place {
  readonly address: string;
  readonly root: string;
  readonly folder: string;
}

/** What `make build` made, with TFTP and HTTP and nothing to do besides. */
function rackboot({ address, root, folder }: Place): readonly string[] {
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

function dnsmasq({ address, root, folder }: Place): readonly string[] {
  const alone = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--user=root"];
  const files = ["--enable-tftp", `--tftp-root=${root}`, "--tftp-max=100"];
  return ["dnsmasq", ...alone, ...files, `--listen-address=${address}`, `--pid-file=${join(folder, "pid")}`];
}

/** Debian's own settings where they matter for files: sendfile, full packets, a worker a processor. */
async function nginx({ address, root, folder }: Place): Promise<readonly string[]> {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${join(folder, kind)};`);
  const server = `server { listen ${address}:${HTTP_PORT}; location / { root ${root}; } }`;
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; user root; worker_processes auto; pid ${join(folder, "pid")}; error_log stderr;
events { worker_connections 768; }
http { sendfile on; tcp_nopush on; access_log off; ${paths.join(" ")} ${server} }
`,
  );
  return [join(await unpackedPackage("nginx"), "usr/sbin/nginx"), "-e", "stderr", "-p", folder, "-c", join(folder, "nginx.conf")];
}

/** Debian does not install it beside atftpd, and both call their program alike. */
async function tftpdHpa({ address, root }: Place): Promise<readonly string[]> {
  const program = join(await unpackedPackage("tftpd-hpa"), "usr/sbin/in.tftpd");
  return [program, "--foreground", "--listen", "--address", `${address}:${TFTP_PORT}`, "--user", "root", "--secure", root];
}

const COMMANDS: Readonly<Record<FileServerName, (place: Place) => readonly string[] | Promise<readonly string[]>>> = {
  rackboot,
  atftpd: ({ address, root }) => [
    ...["atftpd", "--daemon", "--no-fork", "--bind-address", address, "--user", "root", "--group", "root"],
    root,
  ],
  dnsmasq,
  "tftpd-hpa": tftpdHpa,
  nginx,
};

/** Starts it on files below `root`; it ends with `resources`. Needs root, for ports 69 and 80. */
export async function startFileServer(resources: Resources, name: FileServerName, root: string): Promise<FileServer> {
  const folder = mkdtempSync(join(tmpdir(), `rackboot-bench-${name}-`));
  resources.defer(folder, () => rmSync(folder, { recursive: true, force: true }));
  const address = ADDRESSES[name];
  const server = new BackgroundProcess(resources, await COMMANDS[name]({ address, root, folder }));
  // None of the peers says when it is ready.
  if (name === "rackboot") await server.output.waitFor(/: ready$|\bready\b/m, 20_000);
  else await sleep(SETTLE_MS);
  if (!server.running) throw new Error(`${name} ended at its start: ${server.output.tail()}`);
  return { name, address, pid: server.pid };
}
