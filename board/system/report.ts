import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CardLayout } from "../update/layout.ts";
import { run } from "./run.ts";

const ANSWER = "this board's own words were not to be had";
/** Commands whose answers go into the report, by the file that they become. */
const QUESTIONS: Readonly<Record<string, readonly [string, ...string[]]>> = {
  "dmesg.txt": ["dmesg"],
  "log.txt": ["logread"],
  "status.json": ["rackboot", "status", "--json"],
  "disks.txt": ["blkid"],
  "mounts.txt": ["mount"],
  "space.txt": ["df", "-k"],
  "network.txt": ["ip", "address"],
  "processes.txt": ["ps"],
  "memory.txt": ["free"],
};
/** Words beside which a value is nobody's business; CHAP secrets have a file of their own, which is left out whole. */
const SECRET = /^(\s*(?:-\s*)?["']?[\w-]*(?:secret|password|passwd|key)["']?\s*:\s*)(?!\s*$).*/gim;

/** A gzipped tar. Nothing in it opens a door: no secrets, no password's hash. */
export async function makeReport(layout: CardLayout): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), "report-"));
  const bundle = join(folder, "rackboot-report");
  try {
    await run("mkdir", [bundle]);
    for (const [name, [command, ...args]] of Object.entries(QUESTIONS)) {
      const answer = await run(command, args).catch((cause: Error) => `${ANSWER}: ${cause.message}\n`);
      await writeFile(join(bundle, name), answer);
    }
    const config = await readFile(join(layout.bootConfigFolder, "rackboot.yaml"), "utf8").catch((cause: Error) => `${cause.message}\n`);
    await writeFile(join(bundle, "rackboot.yaml"), withoutSecrets(config));
    for (const name of await readdir(join(layout.dataFolder, "log")).catch(() => [])) {
      await writeFile(join(bundle, `earlier-${name}.txt`), await readFile(join(layout.dataFolder, "log", name)));
    }
    await run("tar", ["-czf", join(folder, "report.tar.gz"), "-C", folder, "rackboot-report"]);
    return await readFile(join(folder, "report.tar.gz"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export function withoutSecrets(yaml: string): string {
  return yaml.replace(SECRET, "$1(left out)");
}

/** The last `lines` of the log of this start. */
export async function readLogs(lines: number): Promise<readonly string[]> {
  const text = await run("logread", []);
  return text.trimEnd().split("\n").slice(-lines);
}
