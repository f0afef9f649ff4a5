import { readdirSync, readFileSync } from "node:fs";

/** What this needs of /proc/PID/stat. */
export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
}

/** Parses /proc/PID/stat (proc(5)). The name in brackets may hold blanks and brackets itself. Throws on anything else. */
export function parseStat(text: string): ProcessStat {
  const pid = Number.parseInt(text, 10);
  const parent = Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1]);
  if (!Number.isInteger(pid) || !Number.isInteger(parent)) throw new Error(`this is no /proc/PID/stat: ${text.slice(0, 60)}`);
  return { pid, parent };
}

/** A value of /proc/PID/status that is given in kB, in octets; 0 where the kernel does not give it. */
export function statusBytes(text: string, key: "VmHWM" | "VmRSS"): number {
  const found = new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(text);
  return found === null ? 0 : Number(found[1]) * 1024;
}

/** `root` and all processes below it, `root` first. */
export function descendants(root: number, processes: readonly ProcessStat[]): readonly number[] {
  const found = [root];
  for (const pid of found) {
    for (const one of processes) if (one.parent === pid && !found.includes(one.pid)) found.push(one.pid);
  }
  return found;
}

function readProc(pid: number | string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    // It ended since it was listed.
    return "";
  }
}

/** A running process and its children as they are now. */
export function processTree(root: number): readonly number[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => readProc(pid, "stat"))
    .filter((stat) => stat !== "")
    .map(parseStat);
  return descendants(root, all);
}

/** Resident octets of a process and its children: the most there ever were (VmHWM), or now (VmRSS). */
export function memoryOf(root: number, key: "VmHWM" | "VmRSS"): number {
  return processTree(root).reduce((sum, pid) => sum + statusBytes(readProc(pid, "status"), key), 0);
}

const TICKS_PER_SECOND = 100;

/** Processor time of a process, of its children, and of those that have ended since: user and system (proc(5), utime to cstime). */
export function cpuSeconds(root: number): number {
  let ticks = 0;
  for (const pid of processTree(root)) {
    const stat = readProc(pid, "stat");
    const times = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .slice(11, 15);
    ticks += times.reduce((sum, time) => sum + Number(time), 0);
  }
  return ticks / TICKS_PER_SECOND;
}
