import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BackgroundProcess, run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { rawServerCommand } from "./loadgen.ts";

export type TargetName = "raw" | "tgt" | "istgt" | "rackboot";
export const TARGET_NAMES: readonly TargetName[] = ["raw", "tgt", "istgt", "rackboot"];

const root = join(import.meta.dirname, "..", "..");
const RACKBOOT = join(root, "dist", "src", "main.js");
const PREFIX = "iqn.2026-01.lan.rackboot";
const START_TIMEOUT_MS = 20_000;
/** Callgrind is some fifty times slower. */
const SLOW_START_TIMEOUT_MS = 300_000;
const STOP_TIMEOUT_MS = 5_000;

/** A target that listens on loopback, in a process and a folder of its own. */
export interface Target {
  readonly name: TargetName;
  /** The load generator's words for where it is. */
  readonly words: readonly string[];
  readonly pid: number;
  /** Where its configuration lies. */
  readonly folder: string;
  /** Of those that have such a thing. */
  readonly metricsUrl?: string;
  /** The last line that it printed: its side of a failure. */
  readonly lastWords: () => string;
  readonly stop: () => Promise<void>;
}

export interface TargetOptions {
  /** What stands before the command, for example valgrind and its options. */
  readonly prefix?: readonly string[];
  /** rackboot: a store that is there already; instead of files, its volumes are named. */
  readonly storage?: string;
  /** rackboot: with HTTP, on a port that the system chooses. */
  readonly http?: boolean;
  readonly nodeFlags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

interface Setting {
  readonly files: readonly string[];
  readonly folder: string;
  readonly port: number;
  readonly resources: Resources;
  readonly prefix: readonly string[];
  readonly timeoutMs: number;
  readonly storage?: string;
  readonly httpPort: number;
  readonly nodeFlags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** A port that was free a moment ago; the peers cannot be told to choose one. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}

/** Tries until it works, the process has ended or the time is up. */
async function until(process: BackgroundProcess, timeoutMs: number, works: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(100)) {
    if (!process.running) throw new Error(`${process.name} ended at its start: ${process.output.tail()}`);
    if (await works()) return;
  }
  throw new Error(`${process.name} was not ready after ${timeoutMs / 1000} s: ${process.output.tail()}`);
}

/** Asks the target what it offers: it is up when it answers. */
async function answersDiscovery(port: number): Promise<boolean> {
  const [loadgen = ""] = rawServerCommand(port);
  return (await run([loadgen, "discover", "--port", String(port), "--timeout", "2"], { timeoutMs: 10_000 })).code === 0;
}

/** Debian's tgt with its defaults; LUN 0 is its controller. The control port only names its socket, in our folder. */
async function startTgt({ files, folder, port, resources, prefix, timeoutMs }: Setting): Promise<[BackgroundProcess, readonly string[]]> {
  const environment = { TGT_IPC_SOCKET: join(folder, "ipc") };
  const process = new BackgroundProcess(resources, [...prefix, "tgtd", "-f", "-C", "1", "--iscsi", `portal=127.0.0.1:${port}`], {
    environment,
  });
  const admin = ["tgtadm", "-C", "1", "--lld", "iscsi", "--op"];
  await until(process, timeoutMs, async () => (await run([...admin, "show", "--mode", "sys"], { environment })).code === 0);
  for (const [index, file] of files.entries()) {
    const tid = ["--tid", String(index + 1)];
    await runOrThrow([...admin, "new", "--mode", "target", ...tid, "-T", `${PREFIX}:disk${index}`], { environment });
    await runOrThrow([...admin, "new", "--mode", "logicalunit", ...tid, "--lun", "1", "-b", file], { environment });
    await runOrThrow([...admin, "bind", "--mode", "target", ...tid, "-I", "ALL"], { environment });
  }
  return [process, ["--lun", "1"]];
}

const istgtUnit = (file: string, index: number): string => `[LogicalUnit${index + 1}]
  TargetName disk${index}
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  QueueDepth 64
  LUN0 Storage ${file} Auto
`;

/** Debian's istgt with the values of its own example configuration, and room for all sessions. */
async function startIstgt({ files, folder, port, resources, prefix, timeoutMs }: Setting): Promise<[BackgroundProcess, readonly string[]]> {
  const configuration = `[Global]
  NodeBase "${PREFIX}"
  PidFile ${folder}/pid
  AuthFile ${folder}/auth.conf
  MediaDirectory ${folder}
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod Auto
  MaxSessions 512
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
  AuthMethod None
  Portal UC1 127.0.0.1:${await freePort()}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:${port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8
${files.map(istgtUnit).join("")}`;
  writeFileSync(join(folder, "auth.conf"), "", { mode: 0o600 });
  writeFileSync(join(folder, "istgt.conf"), configuration);
  const process = new BackgroundProcess(resources, [...prefix, "istgt", "-D", "-c", join(folder, "istgt.conf"), "-p", join(folder, "pid")]);
  await until(process, timeoutMs, () => answersDiscovery(port));
  return [process, []];
}

const macOf = (index: number): string => `52:54:00:00:00:${(index + 1).toString(16).padStart(2, "0")}`;

/** This project's daemon as it ships, with a machine for each file. */
async function startRackboot({
  files,
  folder,
  port,
  resources,
  prefix,
  timeoutMs,
  storage,
  httpPort,
  nodeFlags,
  environment,
}: Setting): Promise<[BackgroundProcess, readonly string[]]> {
  if (!existsSync(RACKBOOT)) throw new Error(`${RACKBOOT} is missing: run \`make build\` first`);
  const volumes = [...new Set(files)];
  const isShared = volumes.length < files.length;
  const configuration = {
    network: { interface: "lo", address: "127.0.0.1/8" },
    dhcp: { mode: "off" },
    tftp: { port: 0 },
    http: { port: httpPort },
    iscsi: { port, prefix: PREFIX },
    storage: { path: storage ?? join(folder, "data") },
    volumes: storage === undefined ? Object.fromEntries(volumes.map((file, index) => [`volume${index}`, { file, shared: isShared }])) : {},
    machines: Object.fromEntries(
      files.map((file, index) => [
        `disk${index}`,
        { mac: macOf(index), initiator: "any", disks: [storage === undefined ? `volume${volumes.indexOf(file)}` : file] },
      ]),
    ),
  };
  // JSON is YAML, too.
  writeFileSync(join(folder, "rackboot.yaml"), JSON.stringify(configuration, null, 2));
  const serve = [RACKBOOT, "serve", "--config", join(folder, "rackboot.yaml"), "--socket", join(folder, "control.sock")];
  const daemon = new BackgroundProcess(resources, [...prefix, process.execPath, ...nodeFlags, ...serve], { environment });
  await until(daemon, timeoutMs, () => answersDiscovery(port));
  return [daemon, []];
}

async function startRaw({ port, resources, prefix, timeoutMs }: Setting): Promise<[BackgroundProcess, readonly string[]]> {
  const server = new BackgroundProcess(resources, [...prefix, ...rawServerCommand(port)]);
  await server.output.waitFor(/listening on/, timeoutMs);
  return [server, ["--raw"]];
}

const STARTERS = { raw: startRaw, tgt: startTgt, istgt: startIstgt, rackboot: startRackboot } as const;

/** Starts a server with a target for each of these files, named `PREFIX:diskN`; a file may stand behind several. Throws with the target's own words when it does not come up. */
export async function startTarget(name: TargetName, files: readonly string[], options: TargetOptions = {}): Promise<Target> {
  const resources = new Resources();
  const folder = mkdtempSync(join(tmpdir(), `rackboot-bench-${name}-`));
  mkdirSync(join(folder, "data"));
  resources.defer(folder, () => rmSync(folder, { recursive: true, force: true }));
  try {
    const port = await freePort();
    const prefix = options.prefix ?? [];
    const timeoutMs = prefix.length > 0 ? SLOW_START_TIMEOUT_MS : START_TIMEOUT_MS;
    // Only who wants to look inside needs HTTP.
    const { storage } = options;
    const httpPort = storage === undefined && options.http !== true ? 0 : await freePort();
    const { nodeFlags = [], environment = {} } = options;
    const setting = {
      files,
      folder,
      port,
      resources,
      prefix,
      timeoutMs,
      httpPort,
      nodeFlags,
      environment,
      ...(storage !== undefined && { storage }),
    };
    const [process, words] = await STARTERS[name](setting);
    // The peers do not end at SIGTERM while they have a target; they hold nothing that is worth waiting for.
    const stop = async (): Promise<void> => {
      await process.stop(name === "rackboot" ? "SIGTERM" : "SIGKILL", STOP_TIMEOUT_MS);
      await resources.close();
    };
    return {
      name,
      words: ["--port", String(port), "--target", `${PREFIX}:disk${files.length > 1 ? "%" : "0"}`, ...words],
      pid: process.pid,
      folder,
      ...(httpPort > 0 && { metricsUrl: `http://127.0.0.1:${httpPort}/metrics` }),
      lastWords: () => process.output.tail(1),
      stop,
    };
  } catch (error) {
    await resources.close();
    throw error;
  }
}
