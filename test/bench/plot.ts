/** One line of a plot. Points come in the order of x. */
export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
}

/** Bars of one quantity, with its unit, one below the other. */
export interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly { readonly name: string; readonly value: number }[];
}

const WIDTH = 640;
const HEIGHT = 400;
const LEFT = 76;
const RIGHT = 130;
const TOP = 40;
const BOTTOM = 52;
/** Okabe and Ito's colours: told apart by people who see few of them. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const TICKS = 5;

/** The smallest of 1, 2, 2.5, 5 or 10 times a power of ten that is at least `value`; 1 for nothing. */
export function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5].find((step) => step * power >= value) ?? 10) * power;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function text(x: number, y: number, anchor: "start" | "middle" | "end", content: string, extra = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${extra}>${escaped(content)}</text>`;
}

const tickLabel = (value: number): string => (value >= 10_000 ? `${value / 1000}K` : String(Number(value.toPrecision(6))));

/**
 * A line plot as SVG: every x that occurs gets the same room (depths and sessions double from one to the next), y starts
 * at zero so that lengths may be compared.
 */
export function renderPlot(plot: Plot): string {
  const xs = [...new Set(plot.series.flatMap((line) => line.points.map((point) => point.x)))].toSorted((a, b) => a - b);
  const top = niceCeiling(Math.max(0, ...plot.series.flatMap((line) => line.points.map((point) => point.y))));
  const plotWidth = WIDTH - LEFT - RIGHT;
  const plotHeight = HEIGHT - TOP - BOTTOM;
  const atX = (x: number): number => LEFT + (xs.length > 1 ? (xs.indexOf(x) / (xs.length - 1)) * plotWidth : plotWidth / 2);
  const atY = (y: number): number => TOP + (1 - y / top) * plotHeight;

  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    text(LEFT, 22, "start", plot.title, ' font-size="15" font-weight="bold"'),
    text(LEFT + plotWidth / 2, HEIGHT - 12, "middle", plot.xLabel),
    text(18, TOP + plotHeight / 2, "middle", plot.yLabel, ` transform="rotate(-90 18 ${TOP + plotHeight / 2})"`),
  ];
  for (let tick = 0; tick <= TICKS; tick++) {
    const value = (top * tick) / TICKS;
    const y = atY(value).toFixed(1);
    parts.push(`<line x1="${LEFT}" x2="${LEFT + plotWidth}" y1="${y}" y2="${y}" stroke="#ddd"/>`);
    parts.push(text(LEFT - 8, atY(value) + 4, "end", tickLabel(value)));
  }
  for (const x of xs) parts.push(text(atX(x), TOP + plotHeight + 18, "middle", String(x)));
  plot.series.forEach((line, index) => {
    const colour = COLOURS[index % COLOURS.length] ?? "black";
    const points = line.points.map((point) => `${atX(point.x).toFixed(1)},${atY(point.y).toFixed(1)}`);
    parts.push(`<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const point of points) {
      const [x, y] = point.split(",");
      parts.push(`<circle cx="${x}" cy="${y}" r="3" fill="${colour}"/>`);
    }
    const legendY = TOP + 14 + index * 20;
    const legendX = LEFT + plotWidth + 14;
    parts.push(`<line x1="${legendX}" x2="${legendX + 18}" y1="${legendY}" y2="${legendY}" stroke="${colour}" stroke-width="2"/>`);
    parts.push(text(legendX + 24, legendY + 4, "start", line.name));
  });
  return `${parts.join("\n")}\n</svg>\n`;
}

const BAR_HEIGHT = 22;
const BAR_GAP = 10;
const CHART_TOP = 34;
const NAMES_WIDTH = 90;
const VALUES_WIDTH = 90;

/** Horizontal bars as SVG, one chart below the other; each chart's longest bar takes the whole width, and all start at zero. */
export function renderBars(charts: readonly BarChart[]): string {
  const heightOf = ({ bars }: BarChart): number => CHART_TOP + bars.length * (BAR_HEIGHT + BAR_GAP) + BAR_GAP;
  const height = charts.reduce((sum, chart) => sum + heightOf(chart), 0);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
  ];
  let y = 0;
  for (const chart of charts) {
    parts.push(text(NAMES_WIDTH, y + 22, "start", chart.title, ' font-size="14" font-weight="bold"'));
    const longest = Math.max(...chart.bars.map(({ value }) => value));
    chart.bars.forEach(({ name, value }, index) => {
      const top = y + CHART_TOP + index * (BAR_HEIGHT + BAR_GAP);
      const width = longest > 0 ? (value / longest) * (WIDTH - NAMES_WIDTH - VALUES_WIDTH) : 0;
      const colour = COLOURS[index % COLOURS.length] ?? "black";
      parts.push(text(NAMES_WIDTH - 8, top + BAR_HEIGHT - 7, "end", name));
      parts.push(
        `<rect x="${NAMES_WIDTH}" y="${top}" width="${Math.max(1, width).toFixed(1)}" height="${BAR_HEIGHT}" fill="${colour}"/>`,
        text(NAMES_WIDTH + width + 8, top + BAR_HEIGHT - 7, "start", `${Number(value.toPrecision(3))} ${chart.unit}`),
      );
    });
    y += heightOf(chart);
  }
  return `${parts.join("\n")}\n</svg>\n`;
}
