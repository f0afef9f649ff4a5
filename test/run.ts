/**
 * Runs the test projects one after the other and closes with one plain line: `N passed, N failed`.
 * Usage: node test/run.ts [--help] PROJECT...        projects: unit native peers netboot board long
 * Exit code: 0 all passed, 1 something failed or a project ran no test, 2 usage.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

const PROJECTS = ["unit", "native", "peers", "netboot", "board", "long"];
const root = join(import.meta.dirname, "..");
const results = join(root, "build", "test-results");

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly { readonly name: string; readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

function runProject(project: string): { passed: number; failed: number; skipped: number } {
  const file = join(results, `${project}.json`);
  rmSync(file, { force: true });
  console.log(`\n=== ${project}`);
  const started = Date.now();
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const child = spawnSync(process.execPath, [vitest, "run", "--project", project, ...reporters], { cwd: root, stdio: "inherit" });
  console.log(`=== ${project}: ${Math.round((Date.now() - started) / 1000)} s`);
  try {
    const report = JSON.parse(readFileSync(file, "utf8")) as Report;
    // A file that could not even be loaded holds no failed test, yet everything in it is lost.
    const broken = report.testResults.filter((result) => result.status === "failed" && result.assertionResults.length === 0).length;
    const failed = report.numFailedTests + broken;
    return { passed: report.numPassedTests, failed: failed === 0 && child.status !== 0 ? 1 : failed, skipped: report.numPendingTests };
  } catch {
    console.log(`=== ${project}: the runner left no report (exit code ${child.status})`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const chosen = process.argv.slice(2);
if (chosen.includes("--help") || chosen.length === 0 || chosen.some((name) => !PROJECTS.includes(name))) {
  console.log(`Usage: node test/run.ts PROJECT...\nProjects: ${PROJECTS.join(" ")}`);
  process.exit(chosen.includes("--help") ? 0 : 2);
}
mkdirSync(results, { recursive: true });
const sums = chosen.map(runProject);
const total = (key: "passed" | "failed" | "skipped"): number => sums.reduce((sum, one) => sum + one[key], 0);
const skipped = total("skipped");
console.log(`\n${total("passed")} passed, ${total("failed")} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(total("failed") === 0 && total("passed") > 0 ? 0 : 1);
