import { createHash, timingSafeEqual } from "node:crypto";
import type { ChapSecrets } from "../machine/secrets.ts";
import { formatBinary, parseBinary, parseNumber, type TextPairs } from "./text.ts";

/**
 * CHAP as a target speaks it (RFC 7143, 12.1.3; RFC 1994, 4): the initiator proves itself, and where it asks for that,
 * we prove ourselves in the same answer. Pure: random octets come in.
 *
 *     initiator                          target
 *     CHAP_A=5,7                     ->
 *                                    <-  CHAP_A=7 CHAP_I=n CHAP_C=challenge
 *     CHAP_N=user CHAP_R=response    ->
 *     [CHAP_I=m CHAP_C=challenge]
 *                                    <-  [CHAP_N=user CHAP_R=response]
 */

/** IANA "PPP Authentication Algorithms": 5 MD5 (RFC 1994), 7 SHA-256 (RFC 7143, 12.1.3). */
const ALGORITHMS: ReadonlyMap<number, { readonly hash: "md5" | "sha256"; readonly octets: number }> = new Map([
  [5, { hash: "md5", octets: 16 }],
  [7, { hash: "sha256", octets: 32 }],
]);
/** Octets of our challenge; as long as the longest response, so that guessing one is as hard as guessing the other. */
export const CHALLENGE_LENGTH = 32;

export type ChapState =
  | { readonly step: "algorithm" }
  | { readonly step: "response"; readonly algorithm: number; readonly identifier: number; readonly challenge: Uint8Array }
  | { readonly step: "proved" };

export type ChapStep = { readonly state: ChapState; readonly answers: TextPairs } | { readonly failure: string };

/** MD5 or SHA-256 of identifier, secret and challenge (RFC 1994, 4.1). */
export function chapResponse(algorithm: number, identifier: number, secret: string, challenge: Uint8Array): Uint8Array {
  const known = ALGORITHMS.get(algorithm);
  if (known === undefined) throw new RangeError(`no CHAP algorithm ${algorithm}`);
  return createHash(known.hash).update(Uint8Array.of(identifier)).update(secret, "utf8").update(challenge).digest();
}

/** Takes the CHAP keys of one request. `random` returns that many unpredictable octets. */
export function chapStep(
  state: ChapState,
  keys: ReadonlyMap<string, string>,
  secrets: ChapSecrets,
  random: (octets: number) => Uint8Array,
): ChapStep {
  switch (state.step) {
    case "algorithm":
      return chooseAlgorithm(keys, random);
    case "response":
      return checkResponse(state, keys, secrets);
    case "proved":
      return { failure: "CHAP keys after the authentication" };
  }
}

function chooseAlgorithm(keys: ReadonlyMap<string, string>, random: (octets: number) => Uint8Array): ChapStep {
  const offered = keys.get("CHAP_A");
  if (offered === undefined) return { failure: "CHAP_A is missing" };
  const algorithm = offered
    .split(",")
    .map(parseNumber)
    .find((number) => number !== undefined && ALGORITHMS.has(number));
  if (algorithm === undefined) return { failure: `no common CHAP algorithm in "${offered}"; MD5 (5) and SHA-256 (7) are known` };
  const identifier = random(1)[0] ?? 0;
  const challenge = random(CHALLENGE_LENGTH);
  return {
    state: { step: "response", algorithm, identifier, challenge },
    answers: [
      ["CHAP_A", String(algorithm)],
      ["CHAP_I", String(identifier)],
      ["CHAP_C", formatBinary(challenge)],
    ],
  };
}

function checkResponse(state: Extract<ChapState, { step: "response" }>, keys: ReadonlyMap<string, string>, secrets: ChapSecrets): ChapStep {
  const response = parseBinary(keys.get("CHAP_R") ?? "");
  const name = keys.get("CHAP_N");
  if (response === undefined || name === undefined) return { failure: "CHAP_N or CHAP_R is missing or malformed" };
  const expected = chapResponse(state.algorithm, state.identifier, secrets.secret, state.challenge);
  const right = response.length === expected.length && timingSafeEqual(response, expected);
  if (!right || name !== secrets.user) return { failure: "wrong CHAP user or secret" };
  if (!keys.has("CHAP_I") && !keys.has("CHAP_C")) return { state: { step: "proved" }, answers: [] };
  return proveOurselves(state, keys, secrets);
}

function proveOurselves(
  state: Extract<ChapState, { step: "response" }>,
  keys: ReadonlyMap<string, string>,
  secrets: ChapSecrets,
): ChapStep {
  const identifier = parseNumber(keys.get("CHAP_I") ?? "");
  const challenge = parseBinary(keys.get("CHAP_C") ?? "");
  if (identifier === undefined || identifier > 255 || challenge === undefined) {
    return { failure: "CHAP_I or CHAP_C is missing or malformed" };
  }
  // RFC 7143, 9.2.1: a challenge sent back to us, or one secret for both directions, would let an impostor use our own answers.
  if (Buffer.compare(challenge, state.challenge) === 0) return { failure: "our own CHAP challenge was sent back to us" };
  const mutual = secrets.mutual;
  if (mutual === undefined) return { failure: "the initiator wants us to authenticate, and no mutual secret is set" };
  if (mutual.secret === secrets.secret) return { failure: "the mutual secret is the same as the initiator's" };
  const proof = chapResponse(state.algorithm, identifier, mutual.secret, challenge);
  return {
    state: { step: "proved" },
    answers: [
      ["CHAP_N", mutual.user],
      ["CHAP_R", formatBinary(proof)],
    ],
  };
}
