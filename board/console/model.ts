import { openForm, stepForm } from "./form.ts";
import type { Key } from "./keys.ts";
import type { Action, Handover, Item, Job, Outcome, Screen } from "./screen.ts";
import {
  type ConsoleEvent,
  type ConsoleState,
  type Effect,
  type FollowState,
  type Link,
  missingFor,
  type Page,
  type ScreenState,
  type Step,
  topPage,
  type Work,
} from "./state.ts";
import { MAX_TYPED_AHEAD, typeAhead, waitsForPage } from "./type-ahead.ts";

/** Lines of a log that are kept to scroll back in. */
export const MAX_FOLLOWED = 500;
/** As much as a control request may carry. */
export const MAX_PASTE_OCTETS: number = 512 * 1024;
const MAX_FILTER = 40;
const PAGE_LINES = 10;

export function openConsole(home: Screen): Step {
  return open({ home, pages: [], link: { kind: "unknown" }, nextId: 1 }, home);
}

/** What happens next. */
export function step(state: ConsoleState, event: ConsoleEvent): Step {
  switch (event.type) {
    case "key":
      return pressed(state, event.key);
    case "loaded": {
      const shown = changePage(state, event.page, "screen", ({ problem: _problem, ...page }) => ({
        ...page,
        view: event.view,
        selected: Math.min(page.selected, Math.max(0, event.view.items.length - 1)),
      }));
      return topPage(state)?.id === event.page ? typed(shown.state) : shown;
    }
    case "loadFailed":
      return changePage(withoutTypedAhead(state), event.page, "screen", (page) => ({ ...page, problem: event.reason }));
    case "line":
      return changePage(state, event.page, "follow", (page) => {
        return { ...page, lines: [...page.lines, event.text].slice(-MAX_FOLLOWED), back: page.back === 0 ? 0 : page.back + 1 };
      });
    case "ended":
      return changePage(state, event.page, "follow", (page) => ({ ...page, ended: event.reason }));
    case "progress":
      return state.work?.id === event.work ? still({ ...state, work: { ...state.work, progress: event.text } }) : still(state);
    case "done":
      return state.work?.id === event.work ? finished(withoutWork(state), event.outcome) : still(state);
    case "failed":
      return state.work?.id === event.work ? failed({ ...withoutWork(state), message: event.reason }) : still(state);
    case "link":
      return linked(state, event.link);
    case "handedBack":
      return handedBack(state, event.handover, event.code);
    case "reset":
      return reset(state);
  }
}

function still(state: ConsoleState, ...effects: readonly Effect[]): Step {
  return { state, effects };
}

function withoutWork({ work: _work, ...state }: ConsoleState): ConsoleState {
  return state;
}

function withoutTypedAhead({ typedAhead: _typedAhead, ...state }: ConsoleState): ConsoleState {
  return state;
}

/** The page is there: what was typed for it is done, and the rest waits for the next one. */
function typed(state: ConsoleState): Step {
  const { typedAhead: { keys, octets } = { keys: [], octets: 0 } } = state;
  const tooMuch = `More than ${MAX_TYPED_AHEAD} characters came before this page was there: nothing of it was done.`;
  const before = withoutTypedAhead(state);
  return keys.reduce<Step>(
    (sofar, key) => {
      const next = pressed(sofar.state, key);
      return { state: next.state, effects: [...sofar.effects, ...next.effects] };
    },
    still(octets > MAX_TYPED_AHEAD ? { ...before, message: tooMuch } : before),
  );
}

function changePage<K extends Page["kind"]>(
  state: ConsoleState,
  id: number,
  kind: K,
  change: (page: Extract<Page, { kind: K }>) => Extract<Page, { kind: K }>,
): Step {
  const pages = state.pages.map((page) => (page.id === id && page.kind === kind ? change(page as Extract<Page, { kind: K }>) : page));
  return still({ ...state, pages });
}

function push(state: ConsoleState, make: (id: number) => Page, ...effects: readonly Effect[]): Step {
  return still({ ...state, pages: [...state.pages, make(state.nextId)], nextId: state.nextId + 1 }, ...effects);
}

function open(state: ConsoleState, screen: Screen): Step {
  const load: Effect = { type: "load", page: state.nextId, screen };
  return push(state, (id) => ({ kind: "screen", id, screen, selected: 0, scroll: 0, typed: "" }), load);
}

/** The page that is shown now is asked for anew: it may be older than what was done since. */
function reload(state: ConsoleState, ...effects: readonly Effect[]): Step {
  const page = topPage(state);
  return page?.kind === "screen"
    ? still(state, ...effects, { type: "load", page: page.id, screen: page.screen })
    : still(state, ...effects);
}

/** Leaves as many pages; the first one stays. */
function back(state: ConsoleState, count: number): Step {
  const kept = Math.max(1, state.pages.length - count);
  const unfollow = state.pages
    .slice(kept)
    .flatMap((page): Effect[] => (page.kind === "follow" ? [{ type: "unfollow", page: page.id }] : []));
  return reload({ ...withoutTypedAhead(state), pages: state.pages.slice(0, kept) }, ...unfollow);
}

function reset(state: ConsoleState): Step {
  const abort: readonly Effect[] = state.work === undefined ? [] : [{ type: "abort", work: state.work.id }];
  const { message: _message, ...rest } = withoutWork(state);
  const step = back(rest, state.pages.length);
  return { state: step.state, effects: [...abort, ...step.effects, { type: "repaint" }] };
}

function linked(state: ConsoleState, link: Link): Step {
  const before = state.link;
  const kept = link.kind === "away" ? withoutTypedAhead(state) : state;
  const next = { ...kept, link: before.kind === "away" && link.kind === "away" ? { ...link, sinceMs: before.sinceMs } : link };
  // What was on the screen is from before the daemon went away.
  return before.kind === "away" && link.kind === "up" ? reload(next) : still(next);
}

function start(state: ConsoleState, job: Job): Step {
  const work: Work = { id: state.nextId, job, progress: "" };
  return still({ ...state, work, nextId: state.nextId + 1 }, { type: "start", work: work.id, job });
}

function finished(state: ConsoleState, { message, back: count, next }: Outcome): Step {
  const kind = topPage(state)?.kind;
  const asked = kind === "form" || kind === "paste" ? 1 : 0;
  const left = back({ ...state, message }, count ?? asked);
  if (next === undefined) return left;
  const acted = act(left.state, next);
  return { state: acted.state, effects: [...left.effects, ...acted.effects] };
}

/** A form waits to be corrected; a text that was pasted is pasted anew. */
function failed(state: ConsoleState): Step {
  return topPage(state)?.kind === "paste" ? back(state, 1) : reload(state);
}

function handedBack(state: ConsoleState, handover: Handover, code: number): Step {
  const next = handover.next(code);
  const { state: after, effects } = typeof next === "string" ? reload({ ...state, message: next }) : start(state, next);
  return { state: after, effects: [{ type: "repaint" }, ...effects] };
}

function act(state: ConsoleState, action: Action): Step {
  switch (action.kind) {
    case "open":
      return open(state, action.screen);
    case "form":
      return push(state, (id) => ({ kind: "form", id, ...openForm(action.form) }));
    case "paste":
      return push(state, (id) => ({ kind: "paste", id, paste: action.paste, lines: [""], octets: 0 }));
    case "follow": {
      const { follow } = action;
      const page = { kind: "follow", follow, lines: [], filter: "", filtering: false, back: 0 } as const;
      return push(state, (id) => ({ ...page, id }), { type: "follow", page: state.nextId, follow });
    }
    case "run":
      return start(state, action.job);
    case "handover":
      return still(state, { type: "handover", handover: action.handover });
    case "back":
      return back(state, 1);
    case "leave":
      return still(state, { type: "leave" });
  }
}

function pressed(before: ConsoleState, key: Key): Step {
  // Noise may have changed what the terminal shows, and never chooses anything.
  if (key.kind === "noise" || key.kind === "redraw") return still(before, { type: "repaint" });
  if (before.work !== undefined) {
    if (key.kind !== "escape" && key.kind !== "interrupt") return still(before);
    return still({ ...withoutWork(before), message: `Called off: ${before.work.job.title}.` }, { type: "abort", work: before.work.id });
  }
  const { message: _message, ...state } = before;
  const page = topPage(state);
  // Nothing can be asked for now; a text that is being pasted goes on.
  if (state.link.kind === "away" && page?.kind !== "paste") {
    return still(state, ...(key.kind === "interrupt" ? [{ type: "login" } as const] : []));
  }
  switch (page?.kind) {
    case "screen": {
      const isThere = page.view !== undefined || page.problem !== undefined;
      return isThere || !waitsForPage(key) ? onScreen(state, page, key) : still({ ...state, typedAhead: typeAhead(state.typedAhead, key) });
    }
    case "form":
      return onForm(state, page, key);
    case "follow":
      return onFollow(state, page, key);
    case "paste":
      return onPaste(state, page, key);
    case undefined:
      return still(state);
  }
}

type PageOf<K extends Page["kind"]> = Extract<Page, { kind: K }>;

function onScreen(state: ConsoleState, page: PageOf<"screen">, key: Key): Step {
  const items = page.view?.items ?? [];
  const last = Math.max(0, items.length - 1);
  const move = (changes: Partial<ScreenState>): Step => changePage(state, page.id, "screen", (now) => ({ ...now, typed: "", ...changes }));
  switch (key.kind) {
    case "up":
      return items.length === 0 ? move({ scroll: Math.max(0, page.scroll - 1) }) : move({ selected: Math.max(0, page.selected - 1) });
    case "down":
      return items.length === 0 ? move({ scroll: page.scroll + 1 }) : move({ selected: Math.min(last, page.selected + 1) });
    case "home":
      return move({ selected: 0, scroll: 0 });
    case "end":
      return move({ selected: last });
    case "page-up":
      return move({ scroll: Math.max(0, page.scroll - PAGE_LINES), selected: Math.max(0, page.selected - PAGE_LINES) });
    case "page-down":
      return move({ scroll: page.scroll + PAGE_LINES, selected: Math.min(last, page.selected + PAGE_LINES) });
    case "escape":
    case "left":
      return back(state, 1);
    case "interrupt":
      return state.pages.length === 1 ? still(state, { type: "leave" }) : back(state, state.pages.length);
    case "enter":
    case "right":
      // A number that is typed after coming back is another number.
      return choose(move({}).state, items[page.selected]);
    case "text":
      return typeNumber(state, page, key.text, items.length);
    default:
      return still(state);
  }
}

/** A number moves the mark and nothing else: what a disturbed line types is never done. */
function typeNumber(state: ConsoleState, page: PageOf<"screen">, text: string, count: number): Step {
  let { typed, selected } = page;
  for (const character of text) {
    if (!/\d/.test(character)) {
      typed = "";
      continue;
    }
    const longer = Number(typed + character);
    typed = longer >= 1 && longer <= count ? String(longer) : Number(character) >= 1 && Number(character) <= count ? character : "";
    if (typed !== "") selected = Number(typed) - 1;
  }
  return changePage(state, page.id, "screen", (now) => ({ ...now, typed, selected }));
}

function choose(state: ConsoleState, item: Item | undefined): Step {
  if (item === undefined) return reload(state);
  if (missingFor(state.link, item).length > 0) return still({ ...state, message: "This daemon does not offer that." });
  return act(state, item.action);
}

function onForm(state: ConsoleState, page: PageOf<"form">, key: Key): Step {
  const result = stepForm(page, key);
  if (result.kind === "leaves") return back(state, 1);
  const changed = changePage(state, page.id, "form", (now) => {
    const { problem: _problem, ...rest } = now;
    return { ...rest, ...result.state };
  }).state;
  return result.kind === "done" ? act(changed, result.action) : still(changed);
}

function onFollow(state: ConsoleState, page: PageOf<"follow">, key: Key): Step {
  const change = (changes: Partial<FollowState>): Step => changePage(state, page.id, "follow", (now) => ({ ...now, ...changes }));
  const scroll = (lines: number): Step => change({ back: Math.min(Math.max(0, page.back + lines), Math.max(0, page.lines.length - 1)) });
  switch (key.kind) {
    case "escape":
    case "interrupt":
      return page.filtering ? change({ filtering: false, filter: "" }) : back(state, 1);
    case "left":
      return back(state, 1);
    case "enter":
      return change({ filtering: false, back: 0 });
    case "up":
      return scroll(1);
    case "down":
      return scroll(-1);
    case "page-up":
      return scroll(PAGE_LINES);
    case "page-down":
      return scroll(-PAGE_LINES);
    case "home":
      return scroll(MAX_FOLLOWED);
    case "end":
      return change({ back: 0 });
    case "backspace":
      return page.filtering ? change({ filter: page.filter.slice(0, -1) }) : still(state);
    case "clear":
      return change({ filter: "" });
    case "text": {
      const text = page.filtering ? key.text : key.text.startsWith("/") ? key.text.slice(1) : undefined;
      if (text === undefined) return still(state);
      return change({ filtering: true, back: 0, filter: (page.filter + text).slice(0, MAX_FILTER) });
    }
    default:
      return still(state);
  }
}

function onPaste(state: ConsoleState, page: PageOf<"paste">, key: Key): Step {
  // What is too much is not kept, but is still read to its end: the rest of it must not fall upon the menu.
  const tooMuch = page.octets > MAX_PASTE_OCTETS;
  const change = (lines: readonly string[], octets: number): Step =>
    changePage(state, page.id, "paste", (now) => ({ ...now, lines: tooMuch ? [(lines.at(-1) ?? "").slice(0, 2)] : lines, octets }));
  const last = page.lines.at(-1) ?? "";
  const end = (lines: readonly string[]): Step =>
    tooMuch
      ? back({ ...state, message: `That is more than ${MAX_PASTE_OCTETS / 1024} KiB: nothing was taken.` }, 1)
      : start(state, page.paste.submit(`${lines.join("\n")}\n`));
  switch (key.kind) {
    case "escape":
    case "interrupt":
      return back({ ...state, message: "Nothing was taken." }, 1);
    case "finish":
      return end(page.lines);
    case "enter":
      return last === "." ? end(page.lines.slice(0, -1)) : change([...page.lines, ""], page.octets + 1);
    case "tab":
    case "text": {
      const text = "text" in key ? key.text : "\t";
      return change(page.lines.with(-1, last + text), page.octets + text.length);
    }
    case "backspace":
      return change(page.lines.with(-1, last.slice(0, -1)), page.octets);
    default:
      return still(state);
  }
}
