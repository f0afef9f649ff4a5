import { loadAddon } from "./addon.ts";

/** execve(2): this process becomes `file`, with the same pid, so that signals and supervisors keep what they hold. Throws. */
export function replaceProcess(file: string, args: readonly string[]): never {
  return loadAddon().replaceProcess(file, args);
}
