import { describe, expect, it } from "vitest";
import { LOGIN_KEYS, type NegotiationContext, NegotiationError, negotiate, numberOf } from "../../src/iscsi/keys.ts";
import { decodeText, encodeText, type TextPairs } from "../../src/iscsi/text.ts";
import { dracutKeys, IPXE_OPERATIONAL_KEYS } from "./support.ts";

const OPERATIONAL: NegotiationContext = { stage: "operational", discovery: false, authMethods: [] };

function answers(offers: TextPairs, context: Partial<NegotiationContext> = {}): Record<string, string> {
  return Object.fromEntries(negotiate(offers, new Map(), { ...OPERATIONAL, ...context }).answers);
}

describe("login keys", () => {
  it("settles every key of a dracut boot, so that open-iscsi accepts the session", () => {
    expect(answers(dracutKeys("uqbar"))).toEqual({
      HeaderDigest: "None",
      DataDigest: "None",
      DefaultTime2Wait: "2",
      DefaultTime2Retain: "0",
      IFMarker: "No",
      OFMarker: "No",
      ErrorRecoveryLevel: "0",
      InitialR2T: "No",
      ImmediateData: "Yes",
      MaxBurstLength: "1048576",
      FirstBurstLength: "262144",
      MaxOutstandingR2T: "1",
      MaxConnections: "1",
      DataPDUInOrder: "Yes",
      DataSequenceInOrder: "Yes",
    });
  });

  it("gives iPXE the small session that it asks for", () => {
    expect(answers(IPXE_OPERATIONAL_KEYS)).toMatchObject({ InitialR2T: "Yes", ImmediateData: "No", FirstBurstLength: "65536" });
  });

  it.each([
    [
      "the first digest that both know",
      { HeaderDigest: "CRC32C,None", DataDigest: "X-sum,None" },
      { HeaderDigest: "CRC32C", DataDigest: "None" },
    ],
    ["one connection a session", { MaxConnections: "8" }, { MaxConnections: "1" }],
    ["no recovery levels", { ErrorRecoveryLevel: "2" }, { ErrorRecoveryLevel: "0" }],
    ["the longer wait", { DefaultTime2Wait: "5" }, { DefaultTime2Wait: "5" }],
    ["several R2Ts, but few", { MaxOutstandingR2T: "16" }, { MaxOutstandingR2T: "4" }],
    ["hexadecimal numbers", { MaxBurstLength: "0x10000" }, { MaxBurstLength: "65536" }],
    ["data in order, whatever is asked for", { DataPDUInOrder: "No" }, { DataPDUInOrder: "Yes" }],
    [
      "a first burst that fits in a burst",
      { FirstBurstLength: "262144", MaxBurstLength: "4096" },
      { FirstBurstLength: "4096", MaxBurstLength: "4096" },
    ],
    ["the protocol level of RFC 7143", { iSCSIProtocolLevel: "2" }, { iSCSIProtocolLevel: "1" }],
    ["task reporting as in RFC 3720", { TaskReporting: "FastAbort,RFC3720" }, { TaskReporting: "RFC3720" }],
  ])("agrees on %s", (_what, offer, answer) => {
    expect(answers(Object.entries(offer))).toEqual(answer);
  });

  it.each([
    ["a number out of range", { MaxBurstLength: "511" }],
    ["a number that is none", { MaxBurstLength: "lots" }],
    ["a truth value that is none", { ImmediateData: "yes" }],
    ["digests that nobody has", { HeaderDigest: "MD5" }],
    ["a length out of range", { MaxRecvDataSegmentLength: "16777216" }],
    ["what only a target says", { TargetPortalGroupTag: "1" }],
    ["marker intervals, which are obsolete", { OFMarkInt: "2048~8192" }],
    ["an authentication method after the security stage", { AuthMethod: "None" }],
    ["SendTargets in a login", { SendTargets: "All" }],
  ])("rejects %s, and the rest of the login goes on", (_what, offer) => {
    const [name = ""] = Object.keys(offer);
    expect(answers([...Object.entries(offer), ["MaxConnections", "1"]])).toEqual({ [name]: "Reject", MaxConnections: "1" });
  });

  it("says that it does not understand what it does not know, extension keys included", () => {
    expect(
      answers([
        ["X-com.example.key", "1"],
        ["NoSuchKey", "None"],
      ]),
    ).toEqual({
      "X-com.example.key": "NotUnderstood",
      NoSuchKey: "NotUnderstood",
    });
  });

  it("says that data keys mean nothing in a discovery session", () => {
    expect(
      answers(
        [
          ["InitialR2T", "No"],
          ["HeaderDigest", "CRC32C"],
          ["MaxRecvDataSegmentLength", "8192"],
        ],
        { discovery: true },
      ),
    ).toEqual({
      InitialR2T: "Irrelevant",
      HeaderDigest: "CRC32C",
    });
  });

  it("keeps operational keys out of the security stage", () => {
    expect(
      answers(
        [
          ["MaxBurstLength", "4096"],
          ["AuthMethod", "CHAP,None"],
        ],
        { stage: "security", authMethods: ["None"] },
      ),
    ).toEqual({
      MaxBurstLength: "Reject",
      AuthMethod: "None",
    });
  });

  it("lets a name be said again, and nothing be negotiated again", () => {
    const first = negotiate(
      [
        ["InitiatorName", "iqn.1994-05.com.redhat:a"],
        ["MaxConnections", "1"],
      ],
      new Map(),
      OPERATIONAL,
    );
    expect(negotiate([["InitiatorName", "iqn.1994-05.com.redhat:a"]], first.outcomes, OPERATIONAL).answers).toEqual([]);
    expect(() => negotiate([["InitiatorName", "iqn.1994-05.com.redhat:b"]], first.outcomes, OPERATIONAL)).toThrow(NegotiationError);
    expect(() => negotiate([["MaxConnections", "1"]], first.outcomes, OPERATIONAL)).toThrow(NegotiationError);
  });

  it("knows the standard's value of every number that is not named", () => {
    const defaults = Object.fromEntries(
      ["MaxRecvDataSegmentLength", "MaxBurstLength", "FirstBurstLength", "MaxOutstandingR2T"].map((name) => [
        name,
        numberOf(new Map(), name),
      ]),
    );
    expect(defaults).toEqual({ MaxRecvDataSegmentLength: 8192, MaxBurstLength: 262144, FirstBurstLength: 65536, MaxOutstandingR2T: 1 });
  });

  it("has each key once, under a name that the wire can carry", () => {
    const names = LOGIN_KEYS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(decodeText(encodeText([[name, "1"]]))).toEqual([[name, "1"]]);
  });
});
