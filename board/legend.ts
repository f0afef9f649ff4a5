import { IDENTIFY_RULE, LAMP_FACTS, LAMPS, RULES } from "./led-policy.ts";
import { isOn, PATTERNS, type PatternName, periodMs, TICK_MS } from "./patterns.ts";

/** The colours of the drawing, which has to be read on white and on black paper. */
const COLOURS: Readonly<Record<string, string>> = { green: "#2da44e", blue: "#2f6fde", amber: "#d98a00", red: "#cf222e" };
const STRIP_MS = 5000;
const STRIP = { x: 176, width: 250, height: 12 } as const;
const ROW = 24;
const WIDTH = 900;
const TEXT_X = 446;
/** From the middle of a line to what its letters stand on; not every viewer knows dominant-baseline. */
const BASELINE = 5;

interface Row {
  readonly pattern: PatternName;
  readonly meaning: string;
}

/**
 * The legend of the lamps as SVG, drawn from the table that lights them: the rhythm over five seconds as a strip, and as
 * a lamp that blinks where the viewer animates.
 */
export function legendSvg(): string {
  const parts: string[] = [];
  let y = 40;
  const row = (fill: string, { pattern, meaning }: Row): void => {
    parts.push(lamp(24, y, fill, pattern), label(44, y, pattern, "pattern"), strip(y, fill, pattern), label(TEXT_X, y, meaning, "meaning"));
    y += ROW;
  };
  for (const name of LAMPS) {
    const { title, colour, about } = LAMP_FACTS[name];
    const fill = COLOURS[colour] ?? "#888888";
    parts.push(label(16, y, title, "title"), label(92, y, `${colour}: ${about}`, "about"));
    y += ROW;
    for (const rule of RULES) if (rule.lamp === name) row(fill, rule);
    y += ROW / 2;
  }
  parts.push(label(16, y, "ALL FOUR", "title"));
  y += ROW;
  row("#6e7781", IDENTIFY_RULE);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" role="img" aria-label="What the lamps say">`,
    "<style>text{font-family:system-ui,sans-serif;font-size:14px;fill:#24292f}.title{font-weight:700;font-size:16px}.about{fill:#57606a}.pattern{font-family:ui-monospace,monospace}</style>",
    `<rect width="${WIDTH}" height="${y}" rx="8" fill="#f6f8fa"/>`,
    label(16, 16, "Each strip is five seconds: filled is lit.", "about"),
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function label(x: number, y: number, text: string, kind: string): string {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text class="${kind}" x="${x}" y="${y + BASELINE}">${escaped}</text>`;
}

function strip(y: number, fill: string, pattern: PatternName): string {
  const { x, width, height } = STRIP;
  const top = y - height / 2;
  const lit = litSpans(pattern).map(([fromMs, toMs]) => {
    const left = x + (fromMs / STRIP_MS) * width;
    return `<rect x="${left}" y="${top}" width="${((toMs - fromMs) / STRIP_MS) * width}" height="${height}" fill="${fill}"/>`;
  });
  return `<rect x="${x}" y="${top}" width="${width}" height="${height}" fill="#d0d7de"/>${lit.join("")}`;
}

function litSpans(pattern: PatternName): readonly (readonly [fromMs: number, toMs: number])[] {
  const spans: [number, number][] = [];
  for (let ms = 0; ms < STRIP_MS; ms += TICK_MS) {
    if (!isOn(PATTERNS[pattern], ms)) continue;
    const last = spans.at(-1);
    if (last !== undefined && last[1] === ms) last[1] = ms + TICK_MS;
    else spans.push([ms, ms + TICK_MS]);
  }
  return spans;
}

function lamp(x: number, y: number, fill: string, pattern: PatternName): string {
  const steps = PATTERNS[pattern];
  const lit = isOn(steps, 0) ? fill : "#ffffff";
  const circle = `<circle cx="${x}" cy="${y}" r="8" fill="${lit}" stroke="${fill}" stroke-width="1.5"`;
  const total = periodMs(steps);
  if (pattern === "off" || pattern === "solid") return `${circle}/>`;
  const ends = steps.map((_, index) => steps.slice(0, index).reduce((sum, ms) => sum + ms, 0) / total);
  const values = steps.map((_, index) => (index % 2 === 0 ? fill : "#ffffff")).join(";");
  const times = ends.map((end) => Number(end.toFixed(4))).join(";");
  return `${circle}><animate attributeName="fill" values="${values}" keyTimes="${times}" dur="${total}ms" calcMode="discrete" repeatCount="indefinite"/></circle>`;
}

if (import.meta.main) process.stdout.write(legendSvg());
