export const ROWS = 24;
export const COLUMNS = 80;
/** The last column stays empty: what is written there makes terminals wrap, each in its own way. */
export const WIDTH: number = COLUMNS - 1;

/** What a screen shows: {@link ROWS} lines of at most {@link WIDTH} printable ASCII characters, and where the cursor rests. */
export interface Frame {
  readonly lines: readonly string[];
  /** From 0. */
  readonly cursor: { readonly row: number; readonly column: number };
}

/**
 * Brings back what noise can have changed: character set and shift (SI, ESC ( B), attributes (SGR), scrolling region
 * (DECSTBM), origin mode (DECOM), insert mode (IRM). A VT100 knows all of these; RIS would make it test itself.
 */
const SANE = "\u000f\u001b(B\u001b[m\u001b[r\u001b[?6l\u001b[4l";
const ERASE_LINE = "\u001b[K";

function goTo(row: number, column: number): string {
  return `\u001b[${row + 1};${column + 1}H`;
}

/** What a VT100 is sent so that it shows a frame: the whole of it, or what differs from the one before. */
export class Painter {
  #shown: readonly string[] | undefined;

  /** Nothing is known of the terminal any more: the next frame is sent whole. */
  forget(): void {
    this.#shown = undefined;
  }

  /** Empty where nothing changed and the terminal is known to show it. */
  paint(frame: Frame): string {
    const before = this.#shown;
    this.#shown = frame.lines;
    if (before === undefined) {
      const lines = Array.from({ length: ROWS }, (_, row) => goTo(row, 0) + (frame.lines[row] ?? "") + ERASE_LINE);
      return SANE + lines.join("") + goTo(frame.cursor.row, frame.cursor.column);
    }
    const changes = Array.from({ length: ROWS }, (_, row) => change(row, before[row] ?? "", frame.lines[row] ?? "")).join("");
    return changes === "" ? "" : changes + goTo(frame.cursor.row, frame.cursor.column);
  }
}

/** From the first character that differs to the last. */
function change(row: number, before: string, after: string): string {
  if (before === after) return "";
  let first = 0;
  while (first < before.length && first < after.length && before[first] === after[first]) first++;
  if (before.length !== after.length) return goTo(row, first) + after.slice(first) + (after.length < before.length ? ERASE_LINE : "");
  let end = after.length;
  while (end > first && before[end - 1] === after[end - 1]) end--;
  return goTo(row, first) + after.slice(first, end);
}
