import { expect, test } from "vitest";
import { INBOX_MAX, Inbox, PATIENT_AT_ONCE } from "../../src/dhcp/inbox.ts";

test("who has chosen an address goes before a flood of first questions, and nobody overtakes his like", () => {
  const inbox = new Inbox<string>();
  for (let n = 0; n < PATIENT_AT_ONCE + 1; n++) inbox.add(`discover ${n}`, false);
  inbox.add("request 1", true);
  inbox.add("request 2", true);
  const taken = inbox.take();
  expect(taken.slice(0, 3)).toEqual(["request 1", "request 2", "discover 0"]);
  expect(taken).toHaveLength(PATIENT_AT_ONCE + 2);
  expect(inbox.isEmpty).toBe(false);
  expect(inbox.take()).toEqual([`discover ${PATIENT_AT_ONCE}`]);
  expect(inbox.isEmpty).toBe(true);
  expect(inbox.take()).toEqual([]);
});

test("a flood fills it up to its limit and no further, and what waits is answered all the same", () => {
  const inbox = new Inbox<number>();
  for (let n = 0; n < INBOX_MAX; n++) expect(inbox.add(n, false)).toBe(true);
  expect(inbox.add(-1, true)).toBe(false);
  const all: number[] = [];
  while (!inbox.isEmpty) all.push(...inbox.take());
  expect(all).toEqual(Array.from({ length: INBOX_MAX }, (_, n) => n));
});
