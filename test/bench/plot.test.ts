import { expect, test } from "vitest";
import { niceCeiling, renderBars, renderPlot } from "./plot.ts";
import { renderTable } from "./table.ts";

const plot = renderPlot({
  title: 'reads <4K> & "more"',
  xLabel: "depth",
  yLabel: "operations/s",
  series: [
    {
      name: "ours",
      points: [
        { x: 1, y: 0 },
        { x: 32, y: 90_000 },
      ],
    },
    { name: "theirs", points: [{ x: 32, y: 45_000 }] },
  ],
});

test("an axis ends at a number that people can divide in their heads", () => {
  expect([0, 0.03, 1, 1.1, 23, 26, 360_000].map(niceCeiling)).toEqual([1, 0.05, 1, 2, 25, 50, 500_000]);
});

test("a plot is well-formed: names with markup in them break nothing", () => {
  expect(plot).toContain("reads &lt;4K&gt; &amp; &quot;more&quot;");
  const opened = plot.match(/<(?!\/)[a-z]+/g)?.length ?? 0;
  const closed = (plot.match(/<\//g)?.length ?? 0) + (plot.match(/\/>/g)?.length ?? 0);
  expect(opened).toBe(closed);
});

test("zero lies on the axis, half of the scale half way up, and lines share their x", () => {
  // 40 to 348 is the plot's height, 76 to 510 its width; the scale ends at 100,000.
  expect(plot).toContain('points="76.0,348.0 510.0,70.8"');
  expect(plot).toContain('points="510.0,209.4"');
});

test("a table lines up, without blanks at the end of a line", () => {
  expect(
    renderTable(
      ["case", "tgt", ""],
      [
        ["read", "1", ""],
        ["random read", "22"],
      ],
    ),
  ).toBe(["case         tgt", "-----------  ---  ", "read           1", "random read   22"].join("\n"));
});

test("bars are as long as what they stand for, next to their names and values", () => {
  const bars = [
    { name: "a", value: 200 },
    { name: "b", value: 100 },
  ];
  const svg = renderBars([{ title: "rate <together>", unit: "MB/s", bars }]);
  const widths = [...svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
  expect(widths).toHaveLength(2);
  expect((widths[0] ?? 0) / (widths[1] ?? 1)).toBeCloseTo(2);
  expect(svg).toContain("rate &lt;together&gt;");
  expect(svg).toContain("200 MB/s");
});

test("bars of nothing are drawn too", () => {
  expect(renderBars([{ title: "none", unit: "x", bars: [{ name: "a", value: 0 }] }])).toContain("0 x");
});
