import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeLoginRequest,
  decodeLoginResponse,
  encodeLoginRequest,
  encodeLoginResponse,
  type LoginRequest,
  type StageCode,
} from "../../src/iscsi/login-pdu.ts";
import {
  ASYNC_EVENT,
  decodeTextRequest,
  decodeTextResponse,
  encodeAsyncMessage,
  encodeReject,
  encodeTextRequest,
  encodeTextResponse,
  HEADER_LENGTH,
  OPCODE,
  opcodeOf,
  PduError,
  REJECT_REASON,
} from "../../src/iscsi/pdu.ts";
import { ShortInputError } from "../../src/wire/reader.ts";
import { CONVERSATIONS, conversation } from "./support.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Decodes and encodes again; octets 24 to 35 of text responses are the data plane's and are left out. */
const ROUND_TRIPS = new Map<number, (header: Uint8Array, dataLength: number) => Uint8Array>([
  [OPCODE.loginRequest, (header, length) => encodeLoginRequest(decodeLoginRequest(header), length)],
  [OPCODE.loginResponse, (header, length) => encodeLoginResponse(decodeLoginResponse(header), length)],
  [OPCODE.textRequest, (header, length) => encodeTextRequest(decodeTextRequest(header), length)],
  [OPCODE.textResponse, (header, length) => encodeTextResponse(decodeTextResponse(header), length)],
]);

describe("headers of PDUs that go up", () => {
  it.each(CONVERSATIONS)("reads what was captured, and writes it back octet by octet: %s", (name) => {
    for (const { header, data } of conversation(name)) {
      const again = ROUND_TRIPS.get(opcodeOf(header))?.(header, data.length);
      const expected = Uint8Array.from(header);
      if (opcodeOf(header) === OPCODE.textResponse) expected.fill(0, 24, 36);
      expect(hex(again ?? new Uint8Array(0))).toBe(hex(expected));
    }
  });

  it("reads the first request of a login that asks for CHAP", () => {
    const [first] = conversation("libiscsi-mutual-chap");
    expect(decodeLoginRequest(first?.header ?? new Uint8Array(0))).toEqual({
      transit: true,
      continued: false,
      currentStage: 0,
      nextStage: 1,
      versionMax: 0,
      versionMin: 0,
      isid: "8080f43c0000",
      tsih: 0,
      taskTag: 0x6e0aff57,
      cid: 0,
      cmdSN: 2140209867,
      expStatSN: 1,
    });
  });

  it("takes a header that ends early, at any octet, for an error", () => {
    for (const { header } of conversation("libiscsi-discovery")) {
      const roundTrip = ROUND_TRIPS.get(opcodeOf(header));
      for (let length = 1; length < HEADER_LENGTH; length++) {
        expect(() => roundTrip?.(header.subarray(0, length), 0)).toThrow(ShortInputError);
      }
    }
    expect(() => opcodeOf(new Uint8Array(0))).toThrow(PduError);
    expect(() => decodeLoginRequest(encodeReject(REJECT_REASON.protocolError))).toThrow(PduError);
  });

  it("writes a reject and a request to log out as RFC 7143, 11.17 and 11.9 draw them", () => {
    expect(hex(encodeReject(REJECT_REASON.protocolError))).toBe(`3f80040000000030${"00".repeat(8)}ffffffff${"00".repeat(28)}`);
    expect(hex(encodeAsyncMessage({ event: ASYNC_EVENT.logoutRequest, parameters: [0, 0, 5] }))).toBe(
      `32800000${"00".repeat(12)}ffffffff${"00".repeat(16)}0100000000000005${"00".repeat(4)}`,
    );
  });

  it("keeps every login request that can be written", () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    const stage = fc.constantFrom<StageCode>(0, 1, 2, 3);
    const request: fc.Arbitrary<LoginRequest> = fc.record({
      transit: fc.boolean(),
      continued: fc.boolean(),
      currentStage: stage,
      nextStage: stage,
      versionMax: fc.integer({ min: 0, max: 255 }),
      versionMin: fc.integer({ min: 0, max: 255 }),
      isid: fc.uint8Array({ minLength: 6, maxLength: 6 }).map(hex),
      tsih: fc.integer({ min: 0, max: 0xffff }),
      taskTag: u32,
      cid: fc.integer({ min: 0, max: 0xffff }),
      cmdSN: u32,
      expStatSN: u32,
    });
    fc.assert(
      fc.property(request, (value) => {
        expect(decodeLoginRequest(encodeLoginRequest(value, 0))).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it("never fails on random headers but by saying so", () => {
    const decoders = [decodeLoginRequest, decodeLoginResponse, decodeTextRequest, decodeTextResponse];
    const random = fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      for (const decode of decoders) {
        try {
          decode(bytes);
        } catch (error) {
          if (!(error instanceof PduError || error instanceof ShortInputError)) throw error;
        }
      }
    });
    fc.assert(random, { numRuns: 3000 });
  });
});
