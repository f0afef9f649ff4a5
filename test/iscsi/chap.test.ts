import { describe, expect, it } from "vitest";
import { type ChapState, type ChapStep, chapResponse, chapStep } from "../../src/iscsi/chap.ts";
import { decodeText, formatBinary, parseBinary } from "../../src/iscsi/text.ts";
import type { ChapSecrets } from "../../src/machine/secrets.ts";
import { conversation } from "./support.ts";

const SECRETS: ChapSecrets = {
  user: "uqbar",
  secret: "tlon-orbis-tertius",
  mutual: { user: "rack", secret: "hlor-u-fang-axaxaxas" },
};
const ONE_WAY: ChapSecrets = { user: "uqbar", secret: "tlon-orbis-tertius" };
const random = (octets: number): Uint8Array => Uint8Array.from({ length: octets }, (_, i) => (i * 37 + 11) & 0xff);

function stepWith(state: ChapState, keys: Record<string, string>, secrets: ChapSecrets = ONE_WAY): ChapStep {
  return chapStep(state, new Map(Object.entries(keys)), secrets, random);
}

function challenged(algorithms: string): { readonly state: ChapState; readonly answers: ReadonlyMap<string, string> } {
  const step = stepWith({ step: "algorithm" }, { CHAP_A: algorithms });
  if ("failure" in step) throw new Error(step.failure);
  return { state: step.state, answers: new Map(step.answers) };
}

/** What an initiator with this secret answers. */
function responseTo(answers: ReadonlyMap<string, string>, secret: string): string {
  const challenge = parseBinary(answers.get("CHAP_C") ?? "") ?? new Uint8Array(0);
  return formatBinary(chapResponse(Number(answers.get("CHAP_A")), Number(answers.get("CHAP_I")), secret, challenge));
}

/** All CHAP keys of a captured conversation, in order. */
function capturedExchange(name: string): readonly ReadonlyMap<string, string>[] {
  return conversation(name)
    .map(({ data }) => new Map(decodeText(data)))
    .filter((keys) => [...keys.keys()].some((key) => key.startsWith("CHAP_")));
}

describe("CHAP", () => {
  it("computes the responses that libiscsi and tgt computed", () => {
    const [, challenge, proof, answer] = capturedExchange("libiscsi-mutual-chap");
    expect(responseTo(challenge ?? new Map(), SECRETS.secret)).toBe(proof?.get("CHAP_R")?.toLowerCase());
    const back = parseBinary(proof?.get("CHAP_C") ?? "") ?? new Uint8Array(0);
    expect(formatBinary(chapResponse(5, Number(proof?.get("CHAP_I")), "hlor-u-fang-axaxaxas", back))).toBe(answer?.get("CHAP_R"));
  });

  it("tells the wrong secret of a captured login from the right one", () => {
    const [, challenge, proof] = capturedExchange("libiscsi-wrong-secret");
    const state: ChapState = {
      step: "response",
      algorithm: 5,
      identifier: Number(challenge?.get("CHAP_I")),
      challenge: parseBinary(challenge?.get("CHAP_C") ?? "") ?? new Uint8Array(0),
    };
    expect(chapStep(state, proof ?? new Map(), ONE_WAY, random)).toEqual({ failure: "wrong CHAP user or secret" });
    expect(chapStep(state, proof ?? new Map(), { user: "uqbar", secret: "tlon-orbis-tertiuX" }, random)).toMatchObject({
      state: { step: "proved" },
    });
  });

  it.each([
    ["5", 5, 16],
    ["7,5", 7, 32],
    ["6,5", 5, 16],
  ])("takes the first algorithm of %s that it knows", (offered, algorithm, octets) => {
    const { state, answers } = challenged(offered);
    expect(answers.get("CHAP_A")).toBe(String(algorithm));
    const proof = responseTo(answers, ONE_WAY.secret);
    expect(parseBinary(proof)).toHaveLength(octets);
    expect(stepWith(state, { CHAP_N: "uqbar", CHAP_R: proof })).toEqual({ state: { step: "proved" }, answers: [] });
  });

  it.each([
    ["no algorithm that it knows", { CHAP_A: "6,8" }],
    ["no algorithm at all", { CHAP_N: "uqbar" }],
  ])("fails with %s", (_what, keys) => {
    expect(stepWith({ step: "algorithm" }, keys)).toHaveProperty("failure");
  });

  it("proves itself where the initiator asks for that", () => {
    const { state, answers } = challenged("7");
    const challenge = Uint8Array.of(1, 2, 3, 4);
    const step = stepWith(
      state,
      { CHAP_N: "uqbar", CHAP_R: responseTo(answers, SECRETS.secret), CHAP_I: "9", CHAP_C: formatBinary(challenge) },
      SECRETS,
    );
    expect(step).toEqual({
      state: { step: "proved" },
      answers: [
        ["CHAP_N", "rack"],
        ["CHAP_R", formatBinary(chapResponse(7, 9, "hlor-u-fang-axaxaxas", challenge))],
      ],
    });
  });

  it("gives an impostor nothing: no proof of ours before theirs, no answer to our own challenge, no shared secret", () => {
    const { state, answers } = challenged("5");
    const right = { CHAP_N: "uqbar", CHAP_R: responseTo(answers, SECRETS.secret), CHAP_I: "1" };
    const own = answers.get("CHAP_C") ?? "";
    expect(stepWith(state, { ...right, CHAP_R: "0x00", CHAP_C: "0x01" }, SECRETS)).toEqual({ failure: "wrong CHAP user or secret" });
    expect(stepWith(state, { ...right, CHAP_N: "tlon" }, SECRETS)).toEqual({ failure: "wrong CHAP user or secret" });
    expect(stepWith(state, { ...right, CHAP_C: own }, SECRETS)).toEqual({ failure: "our own CHAP challenge was sent back to us" });
    const same = { ...SECRETS, mutual: { user: "rack", secret: SECRETS.secret } };
    expect(stepWith(state, { ...right, CHAP_C: "0x01" }, same)).toHaveProperty("failure");
    expect(stepWith(state, { ...right, CHAP_C: "0x01" }, ONE_WAY)).toHaveProperty("failure");
  });

  it("never fails on malformed keys but by saying so", () => {
    const { state, answers } = challenged("5");
    const right = { CHAP_N: "uqbar", CHAP_R: responseTo(answers, SECRETS.secret) };
    for (const keys of [
      {},
      { CHAP_R: "0x00" },
      { CHAP_N: "uqbar", CHAP_R: "zz" },
      { ...right, CHAP_I: "256", CHAP_C: "0x01" },
      { ...right, CHAP_C: "0x01" },
    ]) {
      expect(stepWith(state, keys, SECRETS)).toHaveProperty("failure");
    }
    expect(stepWith({ step: "proved" }, right)).toHaveProperty("failure");
  });
});
