import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runOrThrow } from "../harness/process.ts";

const FOLDER = join(import.meta.dirname, "..", "..", "build", "bench", "packages");

/**
 * A Debian package's files in a folder of their own, not installed: for peers that conflict with one another, and for services
 * that nobody wants on the machine. What the package depends on has to be there. Downloads it once; the folder is returned.
 */
export async function unpackedPackage(name: string): Promise<string> {
  const folder = join(FOLDER, name);
  if (existsSync(folder)) return folder;
  mkdirSync(FOLDER, { recursive: true });
  const work = mkdtempSync(join(FOLDER, ".new-"));
  try {
    // Root's apt would hand the download to another user, who may not write here.
    await runOrThrow(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name], { cwd: work, timeoutMs: 120_000 });
    const archive = readdirSync(work).find((file) => file.endsWith(".deb"));
    if (archive === undefined) throw new Error(`apt-get downloaded nothing for ${name}: run \`apt-get update\` first`);
    await runOrThrow(["dpkg", "-x", join(work, archive), join(work, "files")]);
    renameSync(join(work, "files"), folder);
    return folder;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
