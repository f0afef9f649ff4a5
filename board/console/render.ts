import type { FormState } from "./form.ts";
import type { Field, Item } from "./screen.ts";
import { type ConsoleState, type FollowState, type Link, missingFor, type Page, type ScreenState, topPage } from "./state.ts";
import { type Frame, ROWS, WIDTH } from "./terminal.ts";
import { plain, wrap } from "./text.ts";

/** Head, rule and, at the foot, rule, message and keys. */
const BODY_ROWS: number = ROWS - 5;
const RULE = "-".repeat(WIDTH);
const MAX_MESSAGE_ROWS = 6;
const FIELD_WIDTH = 40;
/** A list is worth seeing even under a long text. */
const LEAST_ITEM_ROWS = 8;

interface Body {
  readonly title: string;
  readonly lines: readonly string[];
  readonly keys: string;
  /** In the body's lines. */
  readonly cursor?: { readonly row: number; readonly column: number };
  /** In the rule at the foot: what is out of sight. */
  readonly more?: string;
}

/** What the terminal should show, and where the cursor rests. Pure. */
export function render(state: ConsoleState, nowMs: number): Frame {
  const page = topPage(state);
  const body = state.link.kind === "away" && page?.kind !== "paste" ? awayBody(state.link, nowMs) : bodyOf(state, page);
  const message = state.work === undefined ? (state.message ?? "") : workLine(state.work.job.title, state.work.progress);
  // What was refused may take some lines to explain; they cover the end of the page until the next key.
  const said = message
    .split("\n")
    .flatMap((line) => wrap(line, WIDTH))
    .slice(0, MAX_MESSAGE_ROWS);
  const lines = Array.from({ length: BODY_ROWS + 1 - said.length }, (_, row) => body.lines[row] ?? "");
  const keys = state.work === undefined ? body.keys : "Esc calls it off";
  const more = body.more === undefined ? "" : `[ ${body.more} ]--`;
  const rows = [head(state.link, body.title, nowMs), RULE, ...lines, RULE.slice(more.length) + more, ...said, keys];
  const cursor = body.cursor === undefined ? { row: ROWS - 1, column: 0 } : { row: body.cursor.row + 2, column: body.cursor.column };
  return {
    lines: rows.map((line) => plain(line).slice(0, WIDTH).trimEnd()),
    cursor: { ...cursor, column: Math.min(cursor.column, WIDTH) },
  };
}

function head(link: Link, title: string, nowMs: number): string {
  const clock = new Date(nowMs - new Date(nowMs).getTimezoneOffset() * 60_000).toISOString().slice(11, 19);
  const who = link.kind === "up" ? `rackboot ${link.summary.version}  ${link.summary.address}` : "rackboot";
  const alarms =
    link.kind === "up" && link.summary.alarms > 0 ? `${link.summary.alarms} ALARM${link.summary.alarms === 1 ? "" : "S"}  ` : "";
  const trial = link.kind === "up" && link.summary.secondsLeft !== undefined ? `NETWORK ON TRIAL ${link.summary.secondsLeft} s  ` : "";
  const right = `${trial}${alarms}${clock}`;
  const room = WIDTH - right.length - 2;
  // Whose console it is stays readable beside what is wrong.
  const left = `${title.padEnd(Math.min(38, room - who.length - 2))}  ${who}`.slice(0, room);
  return left.padEnd(WIDTH - right.length) + right;
}

function workLine(title: string, progress: string): string {
  return `Working: ${title}${progress === "" ? "..." : `, ${progress}`}`;
}

function awayBody(link: Extract<Link, { kind: "away" }>, nowMs: number): Body {
  const seconds = Math.max(0, Math.round((nowMs - link.sinceMs) / 1000));
  const lines = [
    "",
    "  THE DAEMON DOES NOT ANSWER",
    "",
    `  For ${seconds} s now. Machines that run keep waiting for their disks; nothing is lost`,
    "  by waiting.",
    "",
    ...wrap(link.reason, WIDTH - 4).map((line) => `  ${line}`),
    "",
    "  What to do: it is started again by itself; wait half a minute. If it does not",
    "  come back, press Ctrl-C for a login, and look into the log there:",
    "",
    "      logread | tail -n 50",
  ];
  return { title: "No answer", lines, keys: "This page goes away when the daemon answers again. Ctrl-C: login" };
}

function bodyOf(state: ConsoleState, page: Page | undefined): Body {
  switch (page?.kind) {
    case "screen":
      return screenBody(page, state.link, state.pages.length > 1);
    case "form":
      return formBody(page);
    case "follow":
      return followBody(page);
    case "paste": {
      const lines = [...page.paste.lines, "", `  ${page.lines.length - 1} lines so far.`, ""];
      const shown = page.lines.slice(-Math.max(1, BODY_ROWS - lines.length)).map((line) => `  ${line}`);
      const row = lines.length + shown.length - 1;
      const cursor = { row, column: (shown.at(-1) ?? "").length };
      return {
        title: page.paste.title,
        lines: [...lines, ...shown],
        cursor,
        keys: "A line with a single full stop, or Ctrl-D, ends it. Esc: nothing is taken",
      };
    }
    case undefined:
      return { title: "", lines: [], keys: "" };
  }
}

function screenBody(page: ScreenState, link: Link, hasBack: boolean): Body {
  const { screen, view, problem } = page;
  if (view === undefined) {
    const lines = problem === undefined ? ["", "  Asking the daemon..."] : ["", ...wrap(problem, WIDTH - 4).map((line) => `  ${line}`)];
    return { title: screen.title, lines, keys: "Esc goes back" };
  }
  const stale = problem === undefined ? [] : [`Not up to date: ${problem}`];
  // Tables are cut at the edge, sentences are not.
  const text = [...stale, ...view.lines].flatMap((line) => (line.startsWith(" ") ? [line] : wrap(line, WIDTH)));
  const { items } = view;
  const gap = items.length > 0 && text.length > 0 ? 1 : 0;
  const itemRows = Math.min(items.length, Math.max(BODY_ROWS - text.length - gap, LEAST_ITEM_ROWS));
  const textRows = BODY_ROWS - itemRows - gap;
  const scroll = Math.max(0, Math.min(page.scroll, text.length - textRows));
  const shownText = text.slice(scroll, scroll + textRows);
  const firstItem = Math.max(0, Math.min(page.selected - Math.floor(itemRows / 2), items.length - itemRows));
  const shownItems = items
    .slice(firstItem, firstItem + itemRows)
    .map((item, index) => itemLine(item, firstItem + index, page.selected, link));
  const lines = [...shownText, ...(gap > 0 ? [""] : []), ...shownItems];
  const more = [
    ...(text.length > textRows ? [`lines ${scroll + 1}-${Math.min(text.length, scroll + textRows)} of ${text.length}: PgUp PgDn`] : []),
    ...(items.length > itemRows ? [`${firstItem + 1}-${firstItem + itemRows} of ${items.length}`] : []),
  ].join(", ");
  const keys = [
    items.length > 0 ? "Up Down or a number, then Enter" : "Up Down: more",
    ...(hasBack ? ["Esc: back"] : []),
    "Ctrl-L: draw again",
  ].join("   ");
  return {
    title: screen.title,
    lines,
    keys,
    ...(more !== "" && { more }),
    ...(items.length > 0 && { cursor: { row: shownText.length + gap + page.selected - firstItem, column: 1 } }),
  };
}

function itemLine(item: Item, index: number, selected: number, link: Link): string {
  const missing = missingFor(link, item).length > 0 ? "  (not offered by this daemon)" : "";
  return `${index === selected ? " >" : "  "}${String(index + 1).padStart(3)}  ${item.label}${missing}`;
}

function formBody({ form, answers, at, problem }: FormState): Body {
  const width = Math.max(...form.fields.map(({ label }) => label.length));
  const lines = [...form.lines.flatMap((line) => (line.startsWith(" ") ? [line] : wrap(line, WIDTH - 2))).map((line) => `  ${line}`), ""];
  let cursor = { row: 0, column: 0 };
  for (const [index, field] of form.fields.entries()) {
    const here = index === at;
    const { text, end } = fieldText(field, answers[index] ?? "", here);
    const label = `${here ? " >" : "  "} ${field.label.padEnd(width)}  `;
    if (here) cursor = { row: lines.length, column: label.length + end };
    lines.push(label + text);
    if (here && field.hint !== undefined) lines.push(...wrap(field.hint, WIDTH - 6).map((line) => `      ${line}`));
    if (here && problem !== undefined) lines.push(...wrap(`! ${problem}`, WIDTH - 6).map((line) => `      ${line}`));
  }
  const last = at === form.fields.length - 1;
  const keys = [
    last ? "Enter: do it" : "Enter: next",
    ...(form.fields[at]?.choices === undefined ? ["Ctrl-U: empty"] : ["Left Right: choice"]),
    ...(form.fields.length > 1 ? ["Up Down: field"] : []),
    "Esc: back, nothing changes",
  ];
  return { title: form.title, lines, cursor, keys: keys.join("   ") };
}

function fieldText(field: Field, answer: string, here: boolean): { readonly text: string; readonly end: number } {
  if (field.choices !== undefined) return { text: here ? `< ${answer} >` : `  ${answer}`, end: 2 };
  const shown = field.secret === true ? "*".repeat(answer.length) : answer;
  // Of a long answer, the end is what is being typed.
  const tail = shown.length > FIELD_WIDTH ? `...${shown.slice(3 - FIELD_WIDTH)}` : shown;
  return { text: `[${tail.padEnd(FIELD_WIDTH)}]`, end: 1 + tail.length };
}

function followBody(page: FollowState): Body {
  const wanted = page.filter.toLowerCase();
  const matching = page.lines.filter((line) => line.toLowerCase().includes(wanted)).flatMap((line) => wrap(line, WIDTH));
  const end = Math.max(0, matching.length - page.back);
  const lines = matching.slice(Math.max(0, end - BODY_ROWS), end);
  const state = page.ended ?? (page.back > 0 ? `${page.back} back; End follows again` : "following");
  const filter = page.filtering || page.filter !== "" ? `only lines with "${page.filter}"${page.filtering ? "_" : ""}, ` : "";
  const keys = page.filtering
    ? "Type what lines must have   Enter: done   Esc: all lines"
    : "/ filters   Up Down PgUp PgDn: older, newer   Esc: back";
  return { title: page.follow.title, lines, keys, more: filter + state };
}
