import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DiscoveryContext, portalsSeenFrom, sendTargets } from "../../src/iscsi/discovery.ts";
import { NO_TAG, REJECT_REASON, type TextRequest } from "../../src/iscsi/pdu.ts";
import { encodeText, MAX_TEXT_LENGTH } from "../../src/iscsi/text.ts";
import { IDLE_TEXT, type TextContext, type TextState, textStep } from "../../src/iscsi/text-exchange.ts";
import { machine } from "./support.ts";

const PORTALS = [
  { address: "172.16.0.1", port: 3260, tag: 1 },
  { address: "172.17.0.1", port: 3260, tag: 2 },
];
const UQBAR = machine("uqbar");
const TLON = machine("tlon");
const DISCOVERY: DiscoveryContext = { visible: [UQBAR, TLON], portals: PORTALS };
const NORMAL: DiscoveryContext = { ...DISCOVERY, sessionTarget: UQBAR.target };

function request(changes: Partial<TextRequest> = {}): TextRequest {
  return { immediate: true, final: true, continued: false, lun: 0n, taskTag: 5, transferTag: NO_TAG, cmdSN: 1, expStatSN: 1, ...changes };
}

const within = (discovery: DiscoveryContext, maxDataLength = 8192): TextContext => ({ discovery, maxDataLength });

describe("SendTargets", () => {
  it("names every target that the initiator may see, with the portal it came through first", () => {
    expect(sendTargets("All", { visible: [UQBAR], portals: portalsSeenFrom(2, PORTALS) })).toEqual([
      ["TargetName", "iqn.2026-01.lan.rackboot:uqbar"],
      ["TargetAddress", "172.17.0.1:3260,2"],
      ["TargetAddress", "172.16.0.1:3260,1"],
    ]);
    expect(sendTargets("All", { visible: [], portals: PORTALS })).toEqual([]);
  });

  it("answers for one target by name, and never for one that the initiator may not see", () => {
    expect(sendTargets("IQN.2026-01.lan.rackboot:tlon", DISCOVERY)?.[0]).toEqual(["TargetName", TLON.target]);
    expect(sendTargets("iqn.2026-01.lan.rackboot:orbis", DISCOVERY)).toEqual([]);
  });

  it("speaks in a normal session of its own target only", () => {
    expect(sendTargets("", NORMAL)?.filter(([key]) => key === "TargetName")).toEqual([["TargetName", UQBAR.target]]);
    expect(sendTargets(UQBAR.target, NORMAL)).toEqual(sendTargets("", NORMAL));
    expect(sendTargets("All", NORMAL)).toEqual(sendTargets("", NORMAL));
    expect(sendTargets(TLON.target, NORMAL)).toEqual([]);
  });

  it("refuses what names nothing", () => {
    expect(sendTargets("", DISCOVERY)).toBeUndefined();
    expect(sendTargets("Alle", DISCOVERY)).toBeUndefined();
    expect(sendTargets("A", NORMAL)).toBeUndefined();
  });
});

describe("text requests", () => {
  it("answers a discovery in one exchange", () => {
    const step = textStep(IDLE_TEXT, request(), encodeText([["SendTargets", "All"]]), within(DISCOVERY));
    expect(step).toEqual({
      state: IDLE_TEXT,
      response: { final: true, continued: false, taskTag: 5, transferTag: NO_TAG },
      data: encodeText(sendTargets("All", DISCOVERY) ?? []),
    });
  });

  it("hands a long answer out in pieces that the initiator can take", () => {
    const context = within(DISCOVERY, 60);
    const whole = encodeText(sendTargets("All", DISCOVERY) ?? []);
    const pieces: Uint8Array[] = [];
    let step = textStep(IDLE_TEXT, request(), encodeText([["SendTargets", "All"]]), context);
    for (let i = 0; i < 10; i++) {
      if (!("response" in step)) throw new Error(step.reason);
      pieces.push(step.data);
      expect(step.data.length).toBeLessThanOrEqual(60);
      if (step.response.final) break;
      expect(step.response.continued).toBe(true);
      step = textStep(step.state, request({ transferTag: step.response.transferTag, cmdSN: i + 2 }), new Uint8Array(0), context);
    }
    expect(Buffer.concat(pieces)).toEqual(Buffer.from(whole));
    expect(step.state).toEqual(IDLE_TEXT);
  });

  it("puts together a request that comes in pieces", () => {
    const text = encodeText([["SendTargets", "All"]]);
    const first = textStep(IDLE_TEXT, request({ final: false, continued: true }), text.subarray(0, 6), within(DISCOVERY));
    if (!("response" in first)) throw new Error(first.reason);
    expect(first).toMatchObject({ response: { final: false }, data: new Uint8Array(0) });
    const second = textStep(first.state, request({ transferTag: first.response.transferTag }), text.subarray(6), within(DISCOVERY));
    expect(second).toMatchObject({ response: { final: true }, data: encodeText(sendTargets("All", DISCOVERY) ?? []) });
  });

  it("says of other keys what they deserve", () => {
    const pairs = encodeText([
      ["MaxBurstLength", "512"],
      ["X-a", "1"],
      ["InitiatorAlias", "u"],
      ["SendTargets", "Alle"],
    ]); // an alias asks for no answer
    expect(textStep(IDLE_TEXT, request(), pairs, within(NORMAL))).toMatchObject({
      data: encodeText([
        ["MaxBurstLength", "Reject"],
        ["X-a", "NotUnderstood"],
        ["SendTargets", "Reject"],
      ]),
    });
  });

  it.each<[string, Partial<TextRequest>, Uint8Array, number]>([
    ["an unknown transfer tag", { transferTag: 77 }, new Uint8Array(0), REJECT_REASON.protocolError],
    ["a request both final and continued", { continued: true }, new Uint8Array(0), REJECT_REASON.invalidPduField],
    ["malformed text", {}, Uint8Array.of(1, 2), REJECT_REASON.protocolError],
    ["a value of SendTargets that names nothing", {}, encodeText([["SendTargets", "Alle"]]), REJECT_REASON.protocolError],
    ["a key that nobody knows", {}, encodeText([["SendTargetsPlease", "All"]]), REJECT_REASON.protocolError],
    ["too much text", {}, new Uint8Array(MAX_TEXT_LENGTH + 1), REJECT_REASON.protocolError],
  ])("rejects %s, and the session goes on", (_what, changes, data, reject) => {
    const step = textStep(IDLE_TEXT, request(changes), data, within(DISCOVERY));
    expect(step).toMatchObject({ state: IDLE_TEXT, reject });
  });

  it("never throws, and never holds more than its limit, whatever comes", () => {
    const piece = fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.uint8Array({ maxLength: 9000 }));
    const random = fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      let state: TextState = IDLE_TEXT;
      for (const [final, continued, fresh, data] of pieces) {
        const transferTag = fresh || state.kind === "idle" ? NO_TAG : state.transferTag;
        state = textStep(state, request({ final, continued, transferTag }), data, within(DISCOVERY)).state;
        if (state.kind === "gathering") expect(state.partial.length).toBeLessThanOrEqual(MAX_TEXT_LENGTH);
      }
    });
    fc.assert(random, { numRuns: 1000 });
  });
});
