import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

/** What a long run came to, kept in the repository under test/results/: figures without their machine and revision mean nothing. */
export function record(name: string, figures: Readonly<Record<string, unknown>>): void {
  const revision = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  const machine = { processor: cpus()[0]?.model ?? "unknown", cores: cpus().length, kernel: release().split("-")[0] };
  mkdirSync(join(root, "test", "results"), { recursive: true });
  writeFileSync(join(root, "test", "results", `${name}.json`), `${JSON.stringify({ revision, machine, ...figures }, null, 2)}\n`);
}

/** A count or a time that a person may shorten: `RACKBOOT_LONG_<NAME>=5 make test-long`. */
export function amount(name: string, usual: number): number {
  return Number(process.env[`RACKBOOT_LONG_${name}`] ?? usual);
}
