import { type DiscoveryContext, sendTargets } from "./discovery.ts";
import { LOGIN_KEYS } from "./keys.ts";
import { NO_TAG, REJECT_REASON, type RejectReason, type TextRequest, type TextResponse } from "./pdu.ts";
import { decodeText, encodeText, MAX_TEXT_LENGTH, TextError, type TextPairs } from "./text.ts";

/**
 * Text requests in the full-feature phase (RFC 7143, 11.10 and 11.11) as a state machine without I/O. A request may come
 * in pieces, and an answer longer than the initiator takes in one PDU goes out in pieces, each asked for with the transfer tag.
 */
export type TextState =
  | { readonly kind: "idle" }
  | { readonly kind: "gathering"; readonly transferTag: number; readonly partial: Uint8Array }
  | { readonly kind: "sending"; readonly transferTag: number; readonly rest: Uint8Array };

export const IDLE_TEXT: TextState = { kind: "idle" };

export interface TextContext {
  readonly discovery: DiscoveryContext;
  /** Longest data segment that the initiator takes, octets. */
  readonly maxDataLength: number;
}

export type TextStep =
  | { readonly state: TextState; readonly response: TextResponse; readonly data: Uint8Array }
  /** The request is rejected with its own header; `reason` is for people. */
  | { readonly state: TextState; readonly reject: RejectReason; readonly reason: string };

const EMPTY = new Uint8Array(0);

/**
 * A request of which nothing comes but these is a failed negotiation (RFC 7143, 7.13), and is rejected as one: libiscsi breaks a
 * session off in which it is told "NotUnderstood", and goes on after a Reject.
 */
const REFUSALS: readonly string[] = ["NotUnderstood", "Reject"];

/** Never throws for what a peer sent. */
export function textStep(state: TextState, request: TextRequest, data: Uint8Array, context: TextContext): TextStep {
  const rejected = (reject: RejectReason, reason: string): TextStep => ({ state: IDLE_TEXT, reject, reason });
  if (request.final && request.continued) return rejected(REJECT_REASON.invalidPduField, "a text request both final and continued");
  // RFC 7143, 11.10.4: the reserved tag begins anew; any other must be the one that we gave out.
  const fresh = request.transferTag === NO_TAG;
  if (!fresh && (state.kind === "idle" || state.transferTag !== request.transferTag)) {
    return rejected(REJECT_REASON.protocolError, "a text request with an unknown target transfer tag");
  }
  if (!fresh && state.kind === "sending") return send(request, state.rest, context);
  const partial = fresh || state.kind !== "gathering" ? EMPTY : state.partial;
  if (partial.length + data.length > MAX_TEXT_LENGTH) {
    return rejected(REJECT_REASON.protocolError, `more than ${MAX_TEXT_LENGTH} octets of text`);
  }
  const text = Buffer.concat([partial, data]);
  if (request.continued) return more(request, text);
  try {
    const asked = decodeText(text);
    const answers = answerPairs(asked, context);
    if (asked.length > 0 && asked.every(([name]) => answers.some(([key, value]) => key === name && REFUSALS.includes(value)))) {
      return rejected(REJECT_REASON.protocolError, `nothing of a text request can be answered: ${asked.map(([name]) => name).join(", ")}`);
    }
    return send(request, encodeText(answers), context);
  } catch (error) {
    if (error instanceof TextError) return rejected(REJECT_REASON.protocolError, error.message);
    throw error;
  }
}

/** The tag only has to be told from the reserved one and from its predecessor's. */
const nextTag = (request: TextRequest): number => (request.cmdSN ^ request.taskTag ^ 0x5eed) >>> 1;

function more(request: TextRequest, partial: Uint8Array): TextStep {
  const transferTag = nextTag(request);
  const response = { final: false, continued: false, taskTag: request.taskTag, transferTag };
  return { state: { kind: "gathering", transferTag, partial }, response, data: EMPTY };
}

function send(request: TextRequest, text: Uint8Array, { maxDataLength }: TextContext): TextStep {
  const { taskTag } = request;
  const data = text.subarray(0, maxDataLength);
  const rest = text.subarray(maxDataLength);
  if (rest.length === 0 && request.final) {
    return { state: IDLE_TEXT, response: { final: true, continued: false, taskTag, transferTag: NO_TAG }, data };
  }
  const transferTag = nextTag(request);
  const response = { final: false, continued: rest.length > 0, taskTag, transferTag };
  return {
    state: rest.length > 0 ? { kind: "sending", transferTag, rest } : { kind: "gathering", transferTag, partial: EMPTY },
    response,
    data,
  };
}

function answerPairs(pairs: TextPairs, context: TextContext): TextPairs {
  return pairs.flatMap(([name, value]): TextPairs => {
    if (name === "SendTargets") return sendTargets(value, context.discovery) ?? [[name, "Reject"]];
    const key = LOGIN_KEYS.find((candidate) => candidate.name === name);
    if (key === undefined) return [[name, "NotUnderstood"]];
    // What was settled at login stays; a mere declaration (an alias) needs no answer.
    return key.rule === "declare" && key.range === undefined && key.senders !== "target" ? [] : [[name, "Reject"]];
  });
}
