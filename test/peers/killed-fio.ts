import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BackgroundProcess } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { startDaemonOfClones } from "./clones-daemon.ts";
import type { LoopbackDaemon } from "./loopback-daemon.ts";

/**
 * fio writes to clones and verifies what it wrote, through QEMU's iSCSI driver, which logs in again by itself; meanwhile the daemon is
 * killed with SIGKILL, again and again.
 */

/** The driver waits longer from one failed attempt to the next. */
const RECONNECT_TIMEOUT_MS = 60_000;
const END_TIMEOUT_MS = 120_000;
/** How long fio works on after the last kill, so that all before it is verified. */
const REST_MS = 5000;

export interface FioReport {
  readonly kills: number;
  /** Writes and verifying reads that fio counted. */
  readonly written: number;
  readonly verified: number;
}

interface Job {
  readonly read: { readonly total_ios: number };
  readonly write: { readonly total_ios: number };
  readonly error: number;
}

/** `storage` is a folder on the file system that is tried; each of `machines` has its fio. Throws what fio could not verify. */
export async function killUnderFio(options: {
  readonly storage: string;
  readonly machines: number;
  readonly kills: number;
}): Promise<FioReport> {
  const resources = new Resources();
  const names = Array.from({ length: options.machines }, (_, index) => `m${index}`);
  try {
    const daemon = await startDaemonOfClones(resources, options.storage, names);
    const jobs: BackgroundProcess[] = [];
    for (const name of names) jobs.push(await startFio(resources, daemon, name));
    for (let kill = 0; kill < options.kills; kill++) {
      await untilBack(daemon, names);
      await sleep(randomInt(50, 1000));
      await daemon.stop("SIGKILL");
      await daemon.start();
    }
    await untilBack(daemon, names);
    await sleep(REST_MS);
    let [written, verified] = [0, 0];
    for (const job of jobs) {
      // fio ends its round at this signal, with everything verified that it has written.
      const { code } = await job.stop("SIGINT", END_TIMEOUT_MS);
      const { jobs: reported = [] } = parse(job.output.text);
      const [figures] = reported;
      if (figures === undefined || code === null || figures.error !== 0) throw new Error(`fio ended with ${code}:\n${job.output.text}`);
      written += figures.write.total_ios;
      verified += figures.read.total_ios;
    }
    return { kills: options.kills, written, verified };
  } finally {
    await resources.close();
  }
}

/** A kill counts only where every machine was at work again. */
async function untilBack(daemon: LoopbackDaemon, machines: readonly string[]): Promise<void> {
  const deadline = Date.now() + RECONNECT_TIMEOUT_MS;
  const isBack = async (): Promise<boolean> => (await daemon.happened("iscsi.login")) >= machines.length;
  while (!(await isBack())) {
    if (Date.now() > deadline) throw new Error("the machines did not log in again");
    await sleep(100);
  }
}

/** fio's report is JSON, after what it may have to say before. */
function parse(text: string): { readonly jobs?: readonly Job[] } {
  const begin = text.indexOf("{\n");
  return begin === -1 ? {} : JSON.parse(text.slice(begin, text.lastIndexOf("}") + 1));
}

async function startFio(resources: Resources, daemon: LoopbackDaemon, machine: string): Promise<BackgroundProcess> {
  const socket = join(daemon.folder, `${machine}.nbd`);
  const url = `iscsi://${daemon.portal}/iqn.2026-01.lan.rackboot:${machine}/0`;
  const server = new BackgroundProcess(resources, ["qemu-nbd", "--persistent", "--format=raw", "--cache=none", "--socket", socket, url]);
  while (!existsSync(socket)) {
    if (!server.running) throw new Error(`qemu-nbd ended: ${server.output.text}`);
    await sleep(50);
  }
  return new BackgroundProcess(resources, [
    "fio",
    `--name=${machine}`,
    "--ioengine=nbd",
    `--uri=nbd+unix:///?socket=${socket}`,
    "--rw=randwrite",
    "--bsrange=4k-64k",
    "--iodepth=8",
    "--size=16M",
    "--time_based",
    "--runtime=3600",
    "--verify=crc32c",
    "--verify_backlog=64",
    "--verify_fatal=1",
    "--verify_state_save=0",
    "--output-format=json",
  ]);
}
