import { readFileSync } from "node:fs";
import { decodeLoginResponse, encodeLoginRequest, type LoginRequest, type LoginResponse } from "../../src/iscsi/login-pdu.ts";
import { HEADER_LENGTH } from "../../src/iscsi/pdu.ts";
import { decodeText, encodeText, type TextPairs } from "../../src/iscsi/text.ts";
import { parseIqn, parseMac, parseMachineName, parseVolumeName } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";

/** One PDU of a captured conversation. */
export interface CapturedPdu {
  readonly from: "initiator" | "target";
  readonly header: Uint8Array;
  readonly data: Uint8Array;
}

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));

export const CONVERSATIONS: readonly string[] = [
  "libiscsi-discovery",
  "libiscsi-normal",
  "libiscsi-chap",
  "libiscsi-mutual-chap",
  "libiscsi-wrong-secret",
  "qemu-normal",
];

/** A conversation of test/vectors/iscsi; the .info file beside it says what it is. */
export function conversation(name: string): readonly CapturedPdu[] {
  const text = readFileSync(new URL(`../vectors/iscsi/${name}.hex`, import.meta.url), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [side = "", header = "", data = ""] = line.split(" ");
      return { from: side === "I" ? "initiator" : "target", header: bytes(header), data: bytes(data) };
    });
}

/** The keys of one captured login request, by its place among the initiator's PDUs. */
export function capturedKeys(name: string, request: number): TextPairs {
  const pdu = conversation(name).filter(({ from }) => from === "initiator")[request];
  return pdu === undefined ? [] : decodeText(pdu.data);
}

export function machine(name: string, changes: Partial<Machine> = {}): Machine {
  return {
    name: parseMachineName(name),
    macs: [parseMac("52:54:00:16:00:10")],
    initiators: [parseIqn(`iqn.1994-05.com.redhat:${name}`)],
    anyInitiator: false,
    target: parseIqn(`iqn.2026-01.lan.rackboot:${name}`),
    disks: [parseVolumeName(`${name}-root`)],
    chap: false,
    arguments: "",
    boot: { kind: "disk", via: "loader" },
    ephemeral: false,
    hostname: name,
    ...changes,
  };
}

/** open-iscsi's ISID in every dracut boot. */
export const DRACUT_ISID = "00023d000001";

/** One request as dracut's open-iscsi begins, with changes. */
export function loginRequest(changes: Partial<LoginRequest> = {}): LoginRequest {
  return {
    transit: true,
    continued: false,
    currentStage: 1,
    nextStage: 3,
    versionMax: 0,
    versionMin: 0,
    isid: DRACUT_ISID,
    tsih: 0,
    taskTag: 0x10,
    cid: 0,
    cmdSN: 1,
    expStatSN: 0,
    ...changes,
  };
}

/** What dracut's open-iscsi sends in its one login request. */
export function dracutKeys(name: string): TextPairs {
  return [
    ["InitiatorName", `iqn.1994-05.com.redhat:${name}`],
    ["InitiatorAlias", name],
    ["TargetName", `iqn.2026-01.lan.rackboot:${name}`],
    ["SessionType", "Normal"],
    ["HeaderDigest", "None"],
    ["DataDigest", "None"],
    ["DefaultTime2Wait", "2"],
    ["DefaultTime2Retain", "0"],
    ["IFMarker", "No"],
    ["OFMarker", "No"],
    ["ErrorRecoveryLevel", "0"],
    ["InitialR2T", "No"],
    ["ImmediateData", "Yes"],
    ["MaxBurstLength", "16776192"],
    ["FirstBurstLength", "262144"],
    ["MaxOutstandingR2T", "1"],
    ["MaxConnections", "1"],
    ["DataPDUInOrder", "Yes"],
    ["DataSequenceInOrder", "Yes"],
    ["MaxRecvDataSegmentLength", "262144"],
  ];
}

/** iPXE's two stages. */
export function ipxeSecurityKeys(name: string): TextPairs {
  return [
    ["InitiatorName", `iqn.1994-05.com.redhat:${name}`],
    ["TargetName", `iqn.2026-01.lan.rackboot:${name}`],
    ["SessionType", "Normal"],
    ["AuthMethod", "CHAP,None"],
  ];
}

export const IPXE_OPERATIONAL_KEYS: TextPairs = [
  ["HeaderDigest", "None"],
  ["DataDigest", "None"],
  ["MaxConnections", "1"],
  ["InitialR2T", "Yes"],
  ["ImmediateData", "No"],
  ["MaxRecvDataSegmentLength", "8192"],
  ["MaxBurstLength", "262144"],
  ["FirstBurstLength", "65536"],
  ["DefaultTime2Wait", "0"],
  ["DefaultTime2Retain", "0"],
  ["MaxOutstandingR2T", "1"],
  ["DataPDUInOrder", "Yes"],
  ["DataSequenceInOrder", "Yes"],
  ["ErrorRecoveryLevel", "0"],
];

/** A login request on the wire. */
export function loginPdu(changes: Partial<LoginRequest>, pairs: TextPairs): { readonly header: Uint8Array; readonly data: Uint8Array } {
  const data = encodeText(pairs);
  return { header: encodeLoginRequest(loginRequest(changes), data.length), data };
}

export function readLoginAnswer(pdu: { readonly header: Uint8Array; readonly data: Uint8Array } | undefined): {
  readonly response: LoginResponse;
  readonly keys: ReadonlyMap<string, string>;
} {
  if (pdu === undefined) throw new Error("nothing was answered");
  return { response: decodeLoginResponse(pdu.header.subarray(0, HEADER_LENGTH)), keys: new Map(decodeText(pdu.data)) };
}
