import { readFileSync } from "node:fs";

/** The version in package.json, found above the sources and above what was compiled of them alike. */
export function packageVersion(): string {
  for (const up of ["../../package.json", "../../../package.json"]) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8")) as {
        readonly name?: unknown;
        readonly version?: unknown;
      };
      if (name === "rackboot" && typeof version === "string") return version;
    } catch {
      // dist/ has no package.json of its own.
    }
  }
  return "unknown";
}
