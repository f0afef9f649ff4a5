import type { Config } from "./config.ts";

/** What is decided once, when the daemon starts. */
const ONCE = {
  storage: ["storage.path"],
  iscsi: ["iscsi.port", "iscsi.threads", "iscsi.memory"],
} as const;

function iscsiOnce({ iscsi }: Config): unknown {
  return [iscsi.port, iscsi.threads, iscsi.memoryBytes];
}

/** The keys that differ and wait for the next start, for people. */
export function keysThatWait(before: Config, after: Config): readonly string[] {
  const changed = (left: unknown, right: unknown): boolean => JSON.stringify(left) !== JSON.stringify(right);
  return [
    ...(changed(before.storage, after.storage) ? ONCE.storage : []),
    ...(changed(iscsiOnce(before), iscsiOnce(after)) ? ONCE.iscsi : []),
  ];
}

/** `after`, with what is decided once as it was. */
export function keep(before: Config, after: Config): Config {
  const { port, threads, memoryBytes } = before.iscsi;
  return { ...after, storage: before.storage, iscsi: { ...after.iscsi, port, threads, memoryBytes } };
}
