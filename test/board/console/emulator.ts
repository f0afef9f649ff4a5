import type { Terminal } from "@xterm/headless";

/** What a person sees: one string a row. */
export function screenOf(terminal: Terminal): readonly string[] {
  const { active } = terminal.buffer;
  return Array.from(
    { length: terminal.rows },
    (_, row) =>
      active
        .getLine(active.baseY + row)
        ?.translateToString(true)
        .trimEnd() ?? "",
  );
}
