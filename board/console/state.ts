import type { FormState } from "./form.ts";
import type { Key } from "./keys.ts";
import type { Follow, Handover, Item, Job, Outcome, Paste, Screen, View } from "./screen.ts";
import type { TypedAhead } from "./type-ahead.ts";

/** The console as it is: pages over pages, the last of which is shown. Pure: {@link step} makes the next one. */
export interface ConsoleState {
  readonly home: Screen;
  readonly pages: readonly Page[];
  readonly link: Link;
  /** Work that the daemon does; keys wait for it, but Esc calls it off. */
  readonly work?: Work;
  /** What came of the last thing that was done; it stands until the next key. */
  readonly message?: string;
  /** Keys that wait until the page that is shown is there. */
  readonly typedAhead?: TypedAhead;
  readonly nextId: number;
}

export type Page =
  | ({ readonly kind: "screen"; readonly id: number } & ScreenState)
  | ({ readonly kind: "form"; readonly id: number } & FormState)
  | ({ readonly kind: "follow"; readonly id: number } & FollowState)
  | { readonly kind: "paste"; readonly id: number; readonly paste: Paste; readonly lines: readonly string[]; readonly octets: number };

export interface ScreenState {
  readonly screen: Screen;
  /** Absent until the daemon has answered. */
  readonly view?: View;
  readonly problem?: string;
  readonly selected: number;
  /** The first line that is shown. */
  readonly scroll: number;
  /** Digits of a number that is being typed. */
  readonly typed: string;
}

export interface FollowState {
  readonly follow: Follow;
  readonly lines: readonly string[];
  /** Only lines that have it are shown, in whatever case. */
  readonly filter: string;
  readonly filtering: boolean;
  /** Lines up from the end; 0 follows. */
  readonly back: number;
  readonly ended?: string;
}

/** How the daemon answers. */
export type Link =
  | { readonly kind: "unknown" }
  | { readonly kind: "up"; readonly operations: ReadonlySet<string>; readonly summary: Summary }
  | { readonly kind: "away"; readonly sinceMs: number; readonly reason: string };

/** What stands in the head of every page. */
export interface Summary {
  readonly version: string;
  readonly address: string;
  readonly alarms: number;
  /** A network change is on trial, and goes back by itself then. */
  readonly secondsLeft?: number;
}

export interface Work {
  readonly id: number;
  readonly job: Job;
  readonly progress: string;
}

export type ConsoleEvent =
  | { readonly type: "key"; readonly key: Key }
  | { readonly type: "loaded"; readonly page: number; readonly view: View }
  | { readonly type: "loadFailed"; readonly page: number; readonly reason: string }
  | { readonly type: "progress"; readonly work: number; readonly text: string }
  | { readonly type: "done"; readonly work: number; readonly outcome: Outcome }
  | { readonly type: "failed"; readonly work: number; readonly reason: string }
  | { readonly type: "line"; readonly page: number; readonly text: string }
  | { readonly type: "ended"; readonly page: number; readonly reason: string }
  | { readonly type: "link"; readonly link: Link }
  | { readonly type: "handedBack"; readonly handover: Handover; readonly code: number }
  /** The cable was out, or nobody has typed for long: what was half done is forgotten. */
  | { readonly type: "reset" };

export type Effect =
  | { readonly type: "load"; readonly page: number; readonly screen: Screen }
  | { readonly type: "start"; readonly work: number; readonly job: Job }
  | { readonly type: "abort"; readonly work: number }
  | { readonly type: "follow"; readonly page: number; readonly follow: Follow }
  | { readonly type: "unfollow"; readonly page: number }
  | { readonly type: "handover"; readonly handover: Handover }
  /** The daemon does not answer, and the person wants in. */
  | { readonly type: "login" }
  /** The terminal may show something else than it should. */
  | { readonly type: "repaint" }
  | { readonly type: "leave" };

export interface Step {
  readonly state: ConsoleState;
  readonly effects: readonly Effect[];
}

export function topPage({ pages }: ConsoleState): Page | undefined {
  return pages.at(-1);
}

/** Operations that an item needs and that are not there. Before the daemon has answered, nothing is known to be missing. */
export function missingFor(link: Link, { needs = [] }: Item): readonly string[] {
  return link.kind === "up" ? needs.filter((name) => !link.operations.has(name)) : [];
}
