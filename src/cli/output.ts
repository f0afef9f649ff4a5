/** Writing for people: tables, and colours where there is a terminal that wants them. */

export { age, amount, clock } from "../state/words.ts";

export interface Output {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly paint: (colour: Colour, text: string) => string;
  /** The same for what goes to stderr. */
  readonly paintError: (colour: Colour, text: string) => string;
  readonly terminal: boolean;
}

/** SGR codes (ECMA-48, 8.3.117). */
const COLOURS = { red: 31, green: 32, yellow: 33, blue: 34, dim: 2, bold: 1 } as const;
export type Colour = keyof typeof COLOURS;

/** https://no-color.org: any value that is not empty. */
function wantsColour(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && (process.env["NO_COLOR"] ?? "") === "" && process.env["TERM"] !== "dumb";
}

function painter(stream: NodeJS.WriteStream): Output["paint"] {
  const enabled = wantsColour(stream);
  return (colour, text) => (enabled ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text);
}

export function processOutput(): Output {
  return {
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    paint: painter(process.stdout),
    paintError: painter(process.stderr),
    terminal: process.stdout.isTTY === true,
  };
}

/** Control sequences take no room. */
function width(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that painting adds.
  return text.replace(/\u001b\[[0-9;]*m/g, "").length;
}

/** Columns two spaces apart, indented by two; the last one is as long as it likes. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, width(cell));
  return rows
    .map((row) => {
      const cells = row.map((cell, index) => (index === row.length - 1 ? cell : cell + " ".repeat((widths[index] ?? 0) - width(cell))));
      return `  ${cells.join("  ")}`.trimEnd();
    })
    .map((line) => `${line}\n`)
    .join("");
}

export function json(value: unknown): string {
  return `${JSON.stringify(
    value,
    (_, item: unknown) => {
      if (item instanceof Map) return Object.fromEntries(item);
      if (item instanceof Uint8Array) return Buffer.from(item).toString("hex");
      return item === Number.POSITIVE_INFINITY ? "infinite" : item;
    },
    2,
  )}\n`;
}
