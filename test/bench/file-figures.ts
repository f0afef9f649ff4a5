import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeHost, hostLine, hostName } from "./host.ts";
import { type BarChart, renderBars } from "./plot.ts";

/** A promise in words, with the figure in it, and whether it was kept. */
export type Goal = readonly [text: string, isReached: boolean];

export interface FileFigures {
  /** The results' file names: `<name>.json` and so on. */
  readonly name: string;
  /** What was measured, with all that is needed to do it again. */
  readonly heading: string;
  readonly table: string;
  readonly goals: readonly Goal[];
  /** One sentence with the figures that matter, in Markdown. */
  readonly summary: string;
  readonly charts: readonly BarChart[];
  /** As it goes into the JSON file. */
  readonly results: unknown;
  /** Of a part of the cases nothing is kept. */
  readonly isWhole: boolean;
}

/**
 * Writes a bench of file servers under test/bench/results/<host>/ as .json (to compare), .txt (to read), .svg and .md (a line for
 * other pages), and prints it. Returns whether every goal was reached.
 */
export function writeFigures({ name, heading, table, goals, summary, charts, results, isWhole }: FileFigures): boolean {
  const host = describeHost();
  const verdicts = goals.map(([goal, reached]) => `${reached ? "reached    " : "NOT REACHED"}  ${goal}`).join("\n");
  const text = `${hostLine(host)}\n${heading}\n\n${table}\n\n${verdicts}\n`;
  console.log(`\n${text}`);
  const isReached = goals.every(([, reached]) => reached);
  if (!isWhole) return isReached;
  const folder = join(import.meta.dirname, "results", hostName(host));
  mkdirSync(folder, { recursive: true });
  const write = (ending: string, content: string): void => writeFileSync(join(folder, `${name}.${ending}`), content);
  write("json", `${JSON.stringify({ host, results }, null, 2)}\n`);
  write("txt", text);
  write("svg", renderBars(charts));
  write("md", `${summary} ![${name}](${name}.svg)\n`);
  return isReached;
}
