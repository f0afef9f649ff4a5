/** What a VT100 has no letter for, as ASCII. */
const LIKE_ASCII: Readonly<Record<string, string>> = {
  "\u2501": "=",
  "\u2026": "...",
  "\u2013": "-",
  "\u2014": "-",
  "\u201c": '"',
  "\u201d": '"',
  "\u2019": "'",
  // 82 °C is 82 C.
  "\u00b0": "",
};

/** Printable ASCII only: names come from files and from peers, and none of them may steer the terminal. */
export function plain(text: string): string {
  return text.replace(/[^ -~]/gu, (character) => LIKE_ASCII[character] ?? "?");
}

/** Lines of at most `width` characters, broken at spaces where there are any. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length <= width) line += ` ${word}`;
    else {
      if (line !== "") lines.push(line);
      line = word;
    }
    while (line.length > width) {
      lines.push(line.slice(0, width));
      line = line.slice(width);
    }
  }
  return [...lines, line];
}

/** Columns two spaces apart, as wide as their widest cell, or as `widths` allows; the last one is as long as it likes. */
export function columns(rows: readonly (readonly string[])[], widths: readonly number[] = []): readonly string[] {
  const wide: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries())
      wide[index] = Math.max(wide[index] ?? 0, Math.min(cell.length, widths[index] ?? cell.length));
  }
  return rows.map((row) => row.map((cell, index) => exactly(cell, index === row.length - 1 ? cell.length : (wide[index] ?? 0))).join("  "));
}

/** Exactly `width` characters; what is cut is marked. */
export function exactly(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, Math.max(0, width - 1))}~` : text.padEnd(width);
}

/** `a table of names and values`, one a line. */
export function facts(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
}
