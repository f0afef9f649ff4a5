import { BackgroundProcess } from "./process.ts";
import type { Resources } from "./resources.ts";

/** Long enough to make a guest or a board's parts from nothing, on two busy cores. */
const MAKE_TIMEOUT_MS = 1_200_000;

/** Runs a script of test/setup/ that makes what is missing; `tell` gets its progress, line by line. Returns its last line. */
export async function runMaker(resources: Resources, command: readonly string[], tell: (line: string) => void): Promise<string> {
  const script = new BackgroundProcess(resources, command);
  let told = 0;
  const stop = script.output.onChange(() => {
    const lines = script.output.text.split("\n");
    for (; told < lines.length - 1; told++) tell(lines[told] ?? "");
  });
  const timer = setTimeout(() => script.signal("SIGTERM"), MAKE_TIMEOUT_MS);
  const exit = await script.exited;
  clearTimeout(timer);
  stop();
  if (exit.code !== 0) throw new Error(`${command.join(" ")} failed:\n${script.output.tail(40)}`);
  return script.output.tail(1);
}
