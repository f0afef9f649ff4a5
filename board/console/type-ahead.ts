import type { Key } from "./keys.ts";

/** Octets that are kept for a page that is not there yet: some numbers and answers. More is a text that has fallen upon the menu. */
export const MAX_TYPED_AHEAD = 64;

/** What was typed for a page that is not there yet. Of more than {@link MAX_TYPED_AHEAD} octets nothing is kept: half of it might be another word. */
export interface TypedAhead {
  readonly keys: readonly Key[];
  readonly octets: number;
}

/** Leaving does not wait, and what would have been done is not done then. */
export function waitsForPage({ kind }: Key): boolean {
  return kind !== "escape" && kind !== "left" && kind !== "interrupt";
}

export function typeAhead({ keys, octets }: TypedAhead = { keys: [], octets: 0 }, key: Key): TypedAhead {
  const all = octets + ("text" in key ? key.text.length : 1);
  return { keys: all > MAX_TYPED_AHEAD ? [] : [...keys, key], octets: all };
}
