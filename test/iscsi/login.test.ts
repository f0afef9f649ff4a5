import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chapResponse } from "../../src/iscsi/chap.ts";
import { LOGIN_KEYS } from "../../src/iscsi/keys.ts";
import { type LoginContext, type LoginState, type LoginStep, MAX_LOGIN_REQUESTS, NEW_LOGIN, step } from "../../src/iscsi/login.ts";
import { LOGIN_STATUS, type LoginRequest } from "../../src/iscsi/login-pdu.ts";
import { decodeText, encodeText, formatBinary, parseBinary, type TextPairs } from "../../src/iscsi/text.ts";
import { parseIpv4 } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import type { ChapSecrets } from "../../src/machine/secrets.ts";
import { capturedKeys, dracutKeys, IPXE_OPERATIONAL_KEYS, ipxeSecurityKeys, loginRequest, machine } from "./support.ts";

const SECRETS: ChapSecrets = { user: "uqbar", secret: "tlon-orbis-tertius", mutual: { user: "rack", secret: "hlor-u-fang-axaxaxas" } };

function contextWith(machines: readonly Machine[], changes: Partial<LoginContext> = {}): LoginContext {
  return {
    portalGroupTag: 1,
    from: parseIpv4("172.16.0.16"),
    machineByTarget: (target) => machines.find((candidate) => candidate.target === target),
    secretsFor: (name) => (name === "uqbar" ? SECRETS : undefined),
    cidOfSession: (tsih) => (tsih === 7 ? 0 : undefined),
    random: (octets) => Uint8Array.from({ length: octets }, (_, i) => i + 1),
    ...changes,
  };
}

const UQBAR = machine("uqbar");
const GUARDED = machine("uqbar", { chap: true });

/** An initiator that keeps its place in a login. */
class Initiator {
  state: LoginState = NEW_LOGIN;
  last: LoginStep | undefined;
  readonly #context: LoginContext;

  constructor(machines: readonly Machine[], changes: Partial<LoginContext> = {}) {
    this.#context = contextWith(machines, changes);
  }

  send(pairs: TextPairs, changes: Partial<LoginRequest> = {}): Record<string, string> {
    this.last = step(this.state, loginRequest(changes), encodeText(pairs), this.#context);
    this.state = this.last.state;
    return Object.fromEntries(decodeText(this.last.answer.text));
  }

  get status(): number | undefined {
    return this.last?.answer.response.status;
  }
}

const SECURITY = { currentStage: 0, nextStage: 1 } as const;
const OPERATIONAL = { currentStage: 1, nextStage: 3 } as const;
const names = (): TextPairs => dracutKeys("uqbar").slice(0, 4);

describe("logging in", () => {
  it("lets a dracut boot in with its one request", () => {
    const dracut = new Initiator([UQBAR]);
    const answer = dracut.send(dracutKeys("uqbar"), { cmdSN: 41, expStatSN: 17 });
    expect(answer).toMatchObject({ TargetPortalGroupTag: "1", TargetAlias: "uqbar", MaxRecvDataSegmentLength: "262144" });
    expect(dracut.last?.answer.response).toMatchObject({
      transit: true,
      currentStage: 1,
      nextStage: 3,
      status: 0,
      statSN: 17,
      expCmdSN: 41,
    });
    expect(dracut.last?.done).toEqual({
      initiator: "iqn.1994-05.com.redhat:uqbar",
      machine: UQBAR,
      isid: "00023d000001",
      cid: 0,
      parameters: {
        discovery: false,
        maxSendDataSegmentLength: 262144,
        maxRecvDataSegmentLength: 262144,
        maxBurstLength: 1048576,
        firstBurstLength: 262144,
        maxOutstandingR2T: 1,
        initialR2T: false,
        immediateData: true,
        headerDigest: false,
        dataDigest: false,
        statSN: 18,
        expCmdSN: 41,
      },
    });
  });

  it("lets iPXE in with its two stages, and sends it no longer segments than it takes", () => {
    const ipxe = new Initiator([UQBAR]);
    expect(ipxe.send(ipxeSecurityKeys("uqbar"), SECURITY)).toEqual({ AuthMethod: "None", TargetPortalGroupTag: "1", TargetAlias: "uqbar" });
    expect(ipxe.last?.answer.response).toMatchObject({ transit: true, nextStage: 1 });
    expect(ipxe.last?.done).toBeUndefined();
    expect(ipxe.send(IPXE_OPERATIONAL_KEYS, OPERATIONAL)).toMatchObject({ InitialR2T: "Yes", MaxRecvDataSegmentLength: "262144" });
    expect(ipxe.last?.done?.parameters).toMatchObject({ maxSendDataSegmentLength: 8192, initialR2T: true, immediateData: false });
  });

  it("lets a login go straight from the security stage to work, with the standard's lengths", () => {
    const terse = new Initiator([UQBAR]);
    terse.send([...names(), ["AuthMethod", "None"]], { currentStage: 0, nextStage: 3 });
    expect(terse.last?.done?.parameters).toMatchObject({ maxSendDataSegmentLength: 8192, firstBurstLength: 65536, maxBurstLength: 262144 });
  });

  it("puts together a request that comes in pieces", () => {
    const slow = new Initiator([UQBAR]);
    const whole = encodeText(dracutKeys("uqbar"));
    const context = contextWith([UQBAR]);
    const first = step(NEW_LOGIN, loginRequest({ transit: false, continued: true, nextStage: 0 }), whole.subarray(0, 50), context);
    expect(first.answer).toMatchObject({ response: { transit: false, status: 0 }, text: new Uint8Array(0) });
    const second = step(first.state, loginRequest(), whole.subarray(50), context);
    expect(second.done?.machine?.name).toBe("uqbar");
    expect(second.answer.response.statSN).toBe(first.answer.response.statSN + 1);
    expect(slow.state).toBe(NEW_LOGIN);
  });

  it("lets libiscsi name itself again in its second stage", () => {
    const guarded = new Initiator([machine("chap", { anyInitiator: true, target: "iqn.2026-01.lan.example:chap" as Machine["target"] })]);
    guarded.send(capturedKeys("libiscsi-chap", 0), SECURITY);
    const again = capturedKeys("libiscsi-normal", 0).filter(([key]) => key !== "TargetName");
    guarded.send(again, OPERATIONAL);
    expect(guarded.last?.done).toBeDefined();
  });

  it("answers all that a dracut initramfs asks in its discovery, or it would give the disk up", () => {
    const initramfs = new Initiator([]);
    const answer = initramfs.send(capturedKeys("open-iscsi-discovery", 0));
    expect(answer).toMatchObject({ ErrorRecoveryLevel: "0", DefaultTime2Wait: "2", DefaultTime2Retain: "0", IFMarker: "No" });
    expect(Object.values(answer)).not.toContain("Irrelevant");
    expect(initramfs.last?.done).toMatchObject({ parameters: { discovery: true } });
  });

  it("opens a discovery session without a target", () => {
    const curious = new Initiator([]);
    const answer = curious.send(capturedKeys("libiscsi-discovery", 0));
    expect(answer).toMatchObject({ InitialR2T: "Irrelevant", HeaderDigest: "None" });
    expect(answer).not.toHaveProperty("TargetPortalGroupTag");
    expect(curious.last?.done).toMatchObject({ initiator: "iqn.2026-01.lan.example:host", parameters: { discovery: true } });
    expect(curious.last?.done).not.toHaveProperty("machine");
  });

  it("keeps another machine's disks from an initiator, by the status that RFC 7143 names", () => {
    const stranger = new Initiator([UQBAR]);
    stranger.send(names().map(([key, value]) => [key, key === "InitiatorName" ? "iqn.1994-05.com.redhat:tlon" : value]));
    expect(stranger.status).toBe(LOGIN_STATUS.authorizationFailure);
    expect(stranger.last?.refusal).toEqual({
      reason: "the disks of uqbar are not for this initiator at 172.16.0.16",
      initiator: "iqn.1994-05.com.redhat:tlon",
      target: "iqn.2026-01.lan.rackboot:uqbar",
    });
  });

  it("keeps a machine's disks from its own initiator's name at another address, where the configuration says where it is", () => {
    const networks = [
      { address: parseIpv4("172.16.0.16"), prefixLength: 32 },
      { address: parseIpv4("10.1.0.0"), prefixLength: 16 },
    ];
    const bound = machine("uqbar", { initiatorNetworks: networks });
    const statusFrom = (from: string): number | undefined => {
      const peer = new Initiator([bound], { from: parseIpv4(from) });
      peer.send(names());
      return peer.status;
    };
    for (const home of ["172.16.0.16", "10.1.0.0", "10.1.255.255"]) expect(statusFrom(home)).toBe(LOGIN_STATUS.success);
    for (const foreign of ["172.16.0.17", "10.2.0.0", "10.0.255.255"]) expect(statusFrom(foreign)).toBe(LOGIN_STATUS.authorizationFailure);
  });

  it.each<[string, number, TextPairs, Partial<LoginRequest>]>([
    [
      "an unknown target",
      LOGIN_STATUS.notFound,
      [
        ["InitiatorName", "iqn.1994-05.com.redhat:uqbar"],
        ["TargetName", "iqn.2026-01.lan.rackboot:no"],
      ],
      {},
    ],
    ["no initiator's name", LOGIN_STATUS.missingParameter, [["TargetName", "iqn.2026-01.lan.rackboot:uqbar"]], {}],
    ["no target's name", LOGIN_STATUS.missingParameter, [["InitiatorName", "iqn.1994-05.com.redhat:uqbar"]], {}],
    ["a name that is none", LOGIN_STATUS.initiatorError, [["InitiatorName", "uqbar"]], {}],
    [
      "an unknown session type",
      LOGIN_STATUS.sessionTypeNotSupported,
      [
        ["InitiatorName", "iqn.1994-05.com.redhat:uqbar"],
        ["SessionType", "Odd"],
      ],
      {},
    ],
    ["a later version", LOGIN_STATUS.unsupportedVersion, names(), { versionMin: 1, versionMax: 2 }],
    ["a second connection", LOGIN_STATUS.tooManyConnections, names(), { tsih: 7, cid: 1 }],
    ["the same connection again", LOGIN_STATUS.cannotIncludeInSession, names(), { tsih: 7 }],
    ["a session that is gone", LOGIN_STATUS.sessionDoesNotExist, names(), { tsih: 8 }],
    ["a stage that is none", LOGIN_STATUS.initiatorError, names(), { currentStage: 2 }],
    ["a step backwards", LOGIN_STATUS.initiatorError, names(), { currentStage: 1, nextStage: 0 }],
    ["a step in the middle of a text", LOGIN_STATUS.initiatorError, names(), { continued: true }],
    ["a key twice", LOGIN_STATUS.initiatorError, [...names(), ["SessionType", "Normal"]], {}],
  ])("refuses %s", (_what, status, pairs, changes) => {
    const peer = new Initiator([UQBAR]);
    peer.send(pairs, changes);
    expect(peer.status).toBe(status);
    expect(peer.last?.refusal?.reason).not.toBe("");
    expect(peer.last?.done).toBeUndefined();
    peer.send(dracutKeys("uqbar"));
    expect(peer.status).toBe(LOGIN_STATUS.invalidDuringLogin);
  });

  it.each<[string, Partial<LoginRequest>]>([
    ["ISID", { isid: "00023d000002" }],
    ["CID", { cid: 3 }],
    ["task tag", { taskTag: 99 }],
    ["stage", { currentStage: 0, nextStage: 1 }],
  ])("refuses a login whose %s changes on the way", (_what, changes) => {
    const peer = new Initiator([UQBAR]);
    peer.send(ipxeSecurityKeys("uqbar"), SECURITY);
    peer.send([], { ...OPERATIONAL, ...changes });
    expect(peer.status).toBe(LOGIN_STATUS.initiatorError);
  });

  it("ends a login that never comes to an end", () => {
    const peer = new Initiator([UQBAR]);
    for (let i = 0; i < MAX_LOGIN_REQUESTS; i++) {
      peer.send(i === 0 ? names() : [], { transit: false, nextStage: 0, currentStage: 1 });
      expect(peer.status).toBe(LOGIN_STATUS.success);
    }
    peer.send([], { transit: false, nextStage: 0, currentStage: 1 });
    expect(peer.status).toBe(LOGIN_STATUS.initiatorError);
  });

  it("never throws for random requests and text", () => {
    const context = contextWith([UQBAR, machine("tlon", { chap: true })]);
    const stage = fc.constantFrom(0, 1, 2, 3) as fc.Arbitrary<0 | 1 | 2 | 3>;
    const text = fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc
        .subarray([...dracutKeys("uqbar"), ["AuthMethod", "CHAP"], ["CHAP_A", "5"], ["CHAP_N", "x"], ["X-a", "b"]] as [string, string][])
        .map(encodeText),
    );
    const requests = fc.array(fc.tuple(fc.boolean(), fc.boolean(), stage, stage, text), { maxLength: 5 });
    const random = fc.property(requests, (list) => {
      let state = NEW_LOGIN;
      for (const [transit, continued, currentStage, nextStage, data] of list) {
        const result = step(state, loginRequest({ transit, continued, currentStage, nextStage }), data, context);
        state = result.state;
        if (result.done !== undefined) expect(result.done.machine?.chap ?? false).toBe(false);
      }
    });
    fc.assert(random, { numRuns: 2000 });
  });
});

it("whatever keys an initiator offers, a login that succeeds has lengths and counts that can be worked with", () => {
  const key = fc.constantFrom(...LOGIN_KEYS.map(({ name }) => name));
  const words = [
    "",
    "Yes",
    "No",
    "None",
    "CRC32C",
    "CRC32C,None",
    "0",
    "1",
    "511",
    "512",
    "8192",
    "16777215",
    "16777216",
    "0x7fffffff",
    "-1",
    "1e9",
  ];
  const value = fc.oneof(
    fc.constantFrom(...words, "Irrelevant", "NotUnderstood", "Reject"),
    fc.nat().map(String),
    fc.string({ maxLength: 300 }),
  );
  const clean = value.map((text) => text.replaceAll("\0", ""));
  let entered = 0;
  const random = fc.property(fc.uniqueArray(fc.tuple(key, clean), { maxLength: 8, selector: ([name]) => name }), (offers) => {
    const said = new Set(names().map(([name]) => name));
    const peer = new Initiator([UQBAR]);
    peer.send([...names(), ...offers.filter(([name]) => !said.has(name))]);
    const parameters = peer.last?.done?.parameters;
    if (parameters === undefined) return;
    entered++;
    const { maxSendDataSegmentLength, maxBurstLength, firstBurstLength, maxOutstandingR2T, discovery } = parameters;
    expect(discovery).toBe(false);
    const within = (number: number, least: number, most: number): boolean => Number.isInteger(number) && number >= least && number <= most;
    expect(within(maxSendDataSegmentLength, 512, 262_144)).toBe(true);
    expect(within(maxBurstLength, 512, 1_048_576)).toBe(true);
    expect(within(firstBurstLength, 512, maxBurstLength)).toBe(true);
    expect(within(maxOutstandingR2T, 1, 4)).toBe(true);
  });
  fc.assert(random, { numRuns: 2000 });
  expect(entered).toBeGreaterThan(500);
});

describe("logging in to a machine with CHAP", () => {
  const chapNames = (): TextPairs => [...names(), ["AuthMethod", "CHAP,None"]];

  function prove(keys: Record<string, string>, secret: string): TextPairs {
    const challenge = parseBinary(keys["CHAP_C"] ?? "") ?? new Uint8Array(0);
    return [
      ["CHAP_N", "uqbar"],
      ["CHAP_R", formatBinary(chapResponse(Number(keys["CHAP_A"]), Number(keys["CHAP_I"]), secret, challenge))],
    ];
  }

  it("lets in who knows the secret, and proves itself when asked", () => {
    const peer = new Initiator([GUARDED]);
    expect(peer.send(chapNames(), SECURITY)).toMatchObject({ AuthMethod: "CHAP" });
    expect(peer.last?.answer.response.transit).toBe(false);
    const challenge = peer.send([["CHAP_A", "7,5"]], { ...SECURITY, transit: false });
    const proof = prove(challenge, SECRETS.secret);
    const answer = peer.send([...proof, ["CHAP_I", "3"], ["CHAP_C", "0x0102"]], SECURITY);
    expect(answer).toMatchObject({ CHAP_N: "rack" });
    expect(peer.last?.answer.response).toMatchObject({ transit: true, nextStage: 1 });
    peer.send(IPXE_OPERATIONAL_KEYS, OPERATIONAL);
    expect(peer.last?.done?.machine).toBe(GUARDED);
  });

  it("keeps out who does not know it", () => {
    const peer = new Initiator([GUARDED]);
    peer.send(chapNames(), SECURITY);
    const challenge = peer.send([["CHAP_A", "5"]], { ...SECURITY, transit: false });
    peer.send(prove(challenge, "tlon-orbis-tertiuX"), SECURITY);
    expect(peer.status).toBe(LOGIN_STATUS.authenticationFailure);
  });

  it.each<[string, (peer: Initiator) => void]>([
    ["skips the security stage", (peer) => peer.send(dracutKeys("uqbar"))],
    ["offers only None", (peer) => peer.send([...names(), ["AuthMethod", "None"]], SECURITY)],
    ["offers nothing", (peer) => peer.send(names(), SECURITY)],
    ["offers a method that nobody has", (peer) => peer.send([...names(), ["AuthMethod", "KRB5"]], SECURITY)],
    [
      "offers None after CHAP was agreed on",
      (peer) => {
        peer.send(chapNames(), SECURITY);
        peer.send([["AuthMethod", "None"]], SECURITY);
      },
    ],
  ])("is not talked down by an initiator that %s", (_what, talk) => {
    const peer = new Initiator([GUARDED]);
    talk(peer);
    expect([LOGIN_STATUS.authenticationFailure, LOGIN_STATUS.initiatorError]).toContain(peer.status);
    expect(peer.last?.done).toBeUndefined();
  });

  it("does not move on before the proof, however often it is asked to", () => {
    const peer = new Initiator([GUARDED]);
    peer.send(chapNames(), SECURITY);
    for (let i = 0; i < 3; i++) {
      peer.send([], { currentStage: 0, nextStage: 3 });
      expect(peer.last?.answer.response.transit).toBe(false);
    }
    peer.send(dracutKeys("uqbar").slice(4));
    expect(peer.status).toBe(LOGIN_STATUS.initiatorError);
  });

  it("lets nobody in where the secret is missing from the file", () => {
    const peer = new Initiator([GUARDED], { secretsFor: () => undefined });
    peer.send(chapNames(), SECURITY);
    peer.send([["CHAP_A", "5"]], { ...SECURITY, transit: false });
    expect(peer.status).toBe(LOGIN_STATUS.authenticationFailure);
  });
});
