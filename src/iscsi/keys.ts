import { parseNumber, type TextPairs } from "./text.ts";

/**
 * Every key that RFC 7143, 13 (and RFC 7144 for iSCSIProtocolLevel) defines, with how it is negotiated and what this
 * target wants. Negotiation is read from this table; there is no other place that knows a key's rule.
 */

interface KeyUse {
  readonly name: string;
  /** Who may send it. What only targets declare is rejected from an initiator. */
  readonly senders: "initiator" | "target" | "both";
  /** Where it may be sent: "login" is either stage of the login phase. */
  readonly stage: "login" | "security" | "operational" | "full-feature";
  /** "normal" keys are answered with Irrelevant in a discovery session. */
  readonly sessions: "any" | "normal";
}

type KeyRule =
  /** The lesser or the greater of both sides' numbers. `fallback` is what holds when nobody names the key. */
  | { readonly rule: "minimum" | "maximum"; readonly range: readonly [number, number]; readonly fallback: number; readonly ours: number }
  | { readonly rule: "and" | "or"; readonly fallback: boolean; readonly ours: boolean }
  /** The first of the initiator's list that is in ours. */
  | { readonly rule: "choose"; readonly fallback: string; readonly ours: readonly string[] }
  /** Said, not negotiated, and not answered. */
  | { readonly rule: "declare"; readonly range?: readonly [number, number]; readonly fallback?: number; readonly ours?: number }
  /** Part of an exchange that another file answers (chap.ts, discovery.ts). */
  | { readonly rule: "exchange" }
  /** Known and always refused. */
  | { readonly rule: "refuse" };

export type LoginKey = KeyUse & KeyRule;

const declared = (name: string, senders: KeyUse["senders"]): LoginKey => ({
  name,
  senders,
  stage: "login",
  sessions: "any",
  rule: "declare",
});
const operational = { senders: "both", stage: "operational", sessions: "normal" } as const;
const chap = (name: string): LoginKey => ({ name, senders: "both", stage: "security", sessions: "any", rule: "exchange" });

const YES = { fallback: true, ours: true } as const;
const NO = { fallback: false, ours: false } as const;
/** 2^24 - 1: lengths are fields of three octets. */
const LENGTH: readonly [number, number] = [512, 16777215];

/** The table is in the order in which keys are settled: a key that bounds another stands before it. */
export const LOGIN_KEYS: readonly LoginKey[] = [
  // 13.4 to 13.9, 13.21 and 13.26: who and what.
  declared("SessionType", "initiator"),
  declared("InitiatorName", "initiator"),
  declared("InitiatorAlias", "initiator"),
  declared("TargetName", "initiator"),
  declared("TargetAlias", "target"),
  declared("TargetAddress", "target"),
  declared("TargetPortalGroupTag", "target"),
  declared("X#NodeArchitecture", "both"),
  // 12.1: which methods are ours depends on the machine, so login.ts passes them in.
  { name: "AuthMethod", senders: "both", stage: "security", sessions: "any", rule: "choose", fallback: "None", ours: [] },
  chap("CHAP_A"),
  chap("CHAP_I"),
  chap("CHAP_C"),
  chap("CHAP_N"),
  chap("CHAP_R"),
  { name: "SendTargets", senders: "initiator", stage: "full-feature", sessions: "any", rule: "exchange" },

  // 13.1: an initiator that prefers a digest gets it.
  { ...operational, name: "HeaderDigest", sessions: "any", rule: "choose", fallback: "None", ours: ["CRC32C", "None"] },
  { ...operational, name: "DataDigest", sessions: "any", rule: "choose", fallback: "None", ours: ["CRC32C", "None"] },
  // 13.2: one connection a session; a second path is a second session.
  { ...operational, name: "MaxConnections", rule: "minimum", range: [1, 65535], fallback: 1, ours: 1 },
  // 13.10, 13.11: unsolicited data saves a round trip for each small write, so both are allowed.
  { ...operational, name: "InitialR2T", rule: "or", fallback: true, ours: false },
  { ...operational, name: "ImmediateData", rule: "and", ...YES },
  // 13.12: 256 KiB is what open-iscsi sends at most, and what one write of a guest usually is.
  {
    ...operational,
    name: "MaxRecvDataSegmentLength",
    sessions: "any",
    rule: "declare",
    range: LENGTH,
    fallback: 8192,
    ours: 262144,
  },
  // 13.13: an R2T reserves its whole burst in advance; 1 MiB keeps a disk busy, and 64 of them fit the smallest memory setting.
  { ...operational, name: "MaxBurstLength", rule: "minimum", range: LENGTH, fallback: 262144, ours: 1048576 },
  // 13.14: bounds what arrives unasked; never above MaxBurstLength.
  { ...operational, name: "FirstBurstLength", rule: "minimum", range: LENGTH, fallback: 65536, ours: 262144 },
  // 13.15, 13.16: a session ends with its connection, so there is nothing to wait for and nothing to retain.
  // Unlike the others they mean something in a discovery session too: open-iscsi ends a login that calls them irrelevant.
  { ...operational, name: "DefaultTime2Wait", sessions: "any", rule: "maximum", range: [0, 3600], fallback: 2, ours: 0 },
  { ...operational, name: "DefaultTime2Retain", sessions: "any", rule: "minimum", range: [0, 3600], fallback: 20, ours: 0 },
  { ...operational, name: "MaxOutstandingR2T", rule: "minimum", range: [1, 65535], fallback: 1, ours: 4 },
  { ...operational, name: "DataPDUInOrder", rule: "or", ...YES },
  { ...operational, name: "DataSequenceInOrder", rule: "or", ...YES },
  { ...operational, name: "ErrorRecoveryLevel", sessions: "any", rule: "minimum", range: [0, 2], fallback: 0, ours: 0 },
  // 13.23: aborted tasks of other sessions are reported as RFC 3720 has it.
  { ...operational, name: "TaskReporting", rule: "choose", fallback: "RFC3720", ours: ["RFC3720"] },
  // RFC 7144, 7.1.1: 1 is RFC 7143 without the SAM-4 additions.
  { ...operational, name: "iSCSIProtocolLevel", rule: "minimum", range: [0, 31], fallback: 1, ours: 1 },
  // 13.25: obsolete. "No" is allowed beside Reject, and old initiators understand it better; the intervals must be rejected.
  { ...operational, name: "OFMarker", sessions: "any", rule: "and", ...NO },
  { ...operational, name: "IFMarker", sessions: "any", rule: "and", ...NO },
  { ...operational, name: "OFMarkInt", sessions: "any", rule: "refuse" },
  { ...operational, name: "IFMarkInt", sessions: "any", rule: "refuse" },
];

const ORDER: ReadonlyMap<string, number> = new Map(LOGIN_KEYS.map((key, index) => [key.name, index]));

/** Key -> the value in force, in the spelling of the wire. Keys that were never named are absent. */
export type Outcomes = ReadonlyMap<string, string>;

export interface Negotiation {
  readonly answers: TextPairs;
  readonly outcomes: Outcomes;
}

export interface NegotiationContext {
  readonly stage: "security" | "operational";
  readonly discovery: boolean;
  /** Ours for AuthMethod. */
  readonly authMethods: readonly string[];
}

/** A negotiation that cannot go on; the login ends with Initiator Error. */
export class NegotiationError extends Error {
  readonly code = "ERR_ISCSI_NEGOTIATION";
}

/**
 * Answers what an initiator offers (RFC 7143, 6.2). Keys of exchanges are left out: their files answer them. Throws
 * {@link NegotiationError} when a key is negotiated a second time in one login, which 6.3 forbids.
 */
export function negotiate(offers: TextPairs, before: Outcomes, context: NegotiationContext): Negotiation {
  const outcomes = new Map(before);
  const answers = new Map<string, string>();
  const position = (name: string): number => ORDER.get(name) ?? LOGIN_KEYS.length;
  for (const [name, offered] of offers.toSorted(([a], [b]) => position(a) - position(b))) {
    const key = LOGIN_KEYS[position(name)];
    if (outcomes.has(name)) {
      // libiscsi names itself and its target again in the second stage; what is said again unchanged is no renegotiation.
      if (key?.rule === "declare" && outcomes.get(name) === offered) continue;
      throw new NegotiationError(`${name} is negotiated a second time`);
    }
    if (key?.rule === "exchange" && key.stage === context.stage) continue;
    const { answer, outcome } = key === undefined ? { answer: "NotUnderstood" } : settle(key, offered, outcomes, context);
    if (answer !== undefined) answers.set(name, answer);
    if (outcome !== undefined) outcomes.set(name, outcome);
  }
  // The initiator reads its answers in the order of its offers.
  return { answers: offers.flatMap(([name]) => pairOf(name, answers.get(name))), outcomes };
}

const pairOf = (name: string, value: string | undefined): TextPairs => (value === undefined ? [] : [[name, value]]);

interface Settled {
  readonly answer?: string;
  readonly outcome?: string;
}

const REJECT: Settled = { answer: "Reject" };
const agreed = (value: string): Settled => ({ answer: value, outcome: value });

function settle(key: LoginKey, offered: string, outcomes: Outcomes, context: NegotiationContext): Settled {
  if (key.senders === "target") return REJECT;
  if (key.stage !== "login" && key.stage !== context.stage) return REJECT;
  if (key.sessions === "normal" && context.discovery) return { answer: "Irrelevant" };
  // An initiator may answer an offer that it does not care for with a constant; it settles nothing.
  if (offered === "Irrelevant" || offered === "NotUnderstood") return {};
  switch (key.rule) {
    case "minimum":
    case "maximum": {
      const number = inRange(offered, key.range);
      if (number === undefined) return REJECT;
      const bound = key.name === "FirstBurstLength" ? Math.min(key.ours, numberOf(outcomes, "MaxBurstLength")) : key.ours;
      return agreed(String(key.rule === "minimum" ? Math.min(number, bound) : Math.max(number, bound)));
    }
    case "and":
    case "or": {
      if (offered !== "Yes" && offered !== "No") return REJECT;
      const theirs = offered === "Yes";
      return agreed((key.rule === "and" ? theirs && key.ours : theirs || key.ours) ? "Yes" : "No");
    }
    case "choose": {
      const ours = key.name === "AuthMethod" ? context.authMethods : key.ours;
      const chosen = offered.split(",").find((value) => ours.includes(value));
      return chosen === undefined ? REJECT : agreed(chosen);
    }
    case "declare":
      if (key.range !== undefined && inRange(offered, key.range) === undefined) return REJECT;
      return { outcome: offered };
    case "exchange":
    case "refuse":
      return REJECT;
  }
}

function inRange(value: string, [least, greatest]: readonly [number, number]): number | undefined {
  const number = parseNumber(value);
  return number !== undefined && number >= least && number <= greatest ? number : undefined;
}

function keyNamed(name: string): LoginKey {
  const key = LOGIN_KEYS[ORDER.get(name) ?? LOGIN_KEYS.length];
  if (key === undefined) throw new Error(`no login key ${name}`);
  return key;
}

/** The number in force: negotiated, or the standard's default. */
export function numberOf(outcomes: Outcomes, name: string): number {
  const key = keyNamed(name);
  const fallback = "fallback" in key ? key.fallback : undefined;
  return Number(outcomes.get(name) ?? fallback);
}

/** The truth value in force. */
export function booleanOf(outcomes: Outcomes, name: string): boolean {
  const key = keyNamed(name);
  const value = outcomes.get(name);
  return value === undefined ? "fallback" in key && key.fallback === true : value === "Yes";
}

/** What this target declares for a numeric key. */
export function oursOf(name: string): number {
  const key = keyNamed(name);
  if (!("ours" in key) || typeof key.ours !== "number") throw new Error(`${name} has no number of ours`);
  return key.ours;
}
