import { type Ipv4, type Iqn, type MachineName, parseIqn } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import { mayLogIn } from "../machine/rack.ts";
import type { ChapSecrets } from "../machine/secrets.ts";
import type { SessionParameters } from "../native/data-plane.ts";
import { type ChapState, chapStep } from "./chap.ts";
import { booleanOf, NegotiationError, negotiate, numberOf, type Outcomes, oursOf } from "./keys.ts";
import { LOGIN_STATUS, type LoginRequest, type LoginResponse, type LoginStatus, STAGE } from "./login-pdu.ts";
import { decodeText, encodeText, MAX_TEXT_LENGTH, TextError, type TextPairs } from "./text.ts";

/**
 * The login phase (RFC 7143, 6.3) as a state machine without I/O: a request goes in, the next state and an answer come
 * out. The last answer comes with `done`; it must not be sent before the session table has made room for the session.
 */

/** Requests in one login; an honest one takes four. */
export const MAX_LOGIN_REQUESTS = 32;
/** Longer segments would only hold a buffer for longer; what the initiator allows beyond is not used. */
const MAX_SEND_SEGMENT_LENGTH = 262144;
/** Until the full-feature phase an initiator has nothing outstanding, so the window is one command wide. */
const LOGIN_WINDOW = 1;

export interface LoginContext {
  /** RFC 7143, 13.9: the tag of the portal that the connection came through. */
  readonly portalGroupTag: number;
  /** Where the connection comes from. */
  readonly from: Ipv4;
  readonly machineByTarget: (target: Iqn) => Machine | undefined;
  readonly secretsFor: (machine: MachineName) => ChapSecrets | undefined;
  /** The CID of the connection of the session with this TSIH. */
  readonly cidOfSession: (tsih: number) => number | undefined;
  readonly random: (octets: number) => Uint8Array;
}

/** Who logs in, and to what. `machine` is absent in a discovery session. */
export interface Identity {
  readonly initiator: Iqn;
  readonly machine?: Machine;
}

type Authentication = { readonly kind: "open" } | { readonly kind: "chap"; readonly chap: ChapState } | { readonly kind: "settled" };

interface Progress {
  /** The first request: ISID, CID and task tag must stay what they were. */
  readonly first: LoginRequest;
  readonly requests: number;
  readonly statSN: number;
  /** Text of requests that said "continued". */
  readonly partial: Uint8Array;
  readonly identity?: Identity;
  readonly outcomes: Outcomes;
  /** Whether the first answer, which says what the target is, has gone out. */
  readonly declared: boolean;
}

export type LoginState =
  | { readonly stage: "new" }
  | ({ readonly stage: "security"; readonly authentication: Authentication } & Progress)
  | ({ readonly stage: "operational" } & Progress)
  /** The number that the last answer carries is still free for a refusal in its place. */
  | { readonly stage: "complete"; readonly statSN: number }
  | { readonly stage: "refused" };

type Negotiating = Extract<LoginState, { stage: "security" | "operational" }>;

export const NEW_LOGIN: LoginState = { stage: "new" };

export interface LoginDone extends Identity {
  readonly isid: string;
  readonly cid: number;
  readonly parameters: SessionParameters;
}

/** Why a login was refused, for people; `initiator` and `target` are what the peer called itself and wanted. */
export interface LoginRefusal {
  readonly reason: string;
  readonly initiator?: string;
  readonly target?: string;
}

export interface LoginStep {
  readonly state: LoginState;
  readonly answer: { readonly response: LoginResponse; readonly text: Uint8Array };
  readonly done?: LoginDone;
  /** The connection must be dropped after the answer. */
  readonly refusal?: LoginRefusal;
}

/** Thrown inside this file only; {@link step} makes an answer of it. */
class Refusal extends Error {
  readonly status: LoginStatus;

  constructor(status: LoginStatus, reason: string) {
    super(reason);
    this.status = status;
  }
}

/** One login request with its text. Never throws for what a peer sent. */
export function step(state: LoginState, request: LoginRequest, data: Uint8Array, context: LoginContext): LoginStep {
  try {
    return advance(state, request, data, context);
  } catch (error) {
    if (error instanceof Refusal) return refuse(state, request, data, error.status, error.message);
    if (error instanceof TextError || error instanceof NegotiationError) {
      return refuse(state, request, data, LOGIN_STATUS.initiatorError, error.message);
    }
    throw error;
  }
}

function advance(state: LoginState, request: LoginRequest, data: Uint8Array, context: LoginContext): LoginStep {
  if (state.stage === "complete" || state.stage === "refused") {
    throw new Refusal(LOGIN_STATUS.invalidDuringLogin, `a login request after the login was ${state.stage}`);
  }
  const current = state.stage === "new" ? begin(request, context) : proceed(state, request);
  const text = gather(current.partial, data);
  if (request.continued) {
    const next: Negotiating = { ...current, partial: text, statSN: current.statSN + 1 };
    return { state: next, answer: { response: respond(current, request, false), text: encodeText([]) } };
  }
  const pairs = decodeText(text);
  const identity = current.identity ?? identify(pairs, context);
  const identified: Negotiating = { ...current, identity, partial: new Uint8Array(0) };
  return identified.stage === "security"
    ? stepSecurity(identified, identity, request, pairs, context)
    : stepOperational(identified, identity, request, pairs, context);
}

function begin(request: LoginRequest, context: LoginContext): Negotiating {
  checkStages(request);
  // RFC 7143, 11.12.4: version 0 is the only one there is.
  if (request.versionMin > 0) {
    throw new Refusal(LOGIN_STATUS.unsupportedVersion, `iSCSI version ${request.versionMin} or later is asked for; 0 is spoken`);
  }
  if (request.tsih !== 0) {
    const cid = context.cidOfSession(request.tsih);
    if (cid === undefined) throw new Refusal(LOGIN_STATUS.sessionDoesNotExist, `there is no session with TSIH ${request.tsih}`);
    if (cid !== request.cid) throw new Refusal(LOGIN_STATUS.tooManyConnections, "a session has one connection (MaxConnections=1)");
    throw new Refusal(LOGIN_STATUS.cannotIncludeInSession, "connections are not reinstated; a login with TSIH 0 reinstates the session");
  }
  const progress: Progress = {
    first: request,
    requests: 1,
    // RFC 7143, 11.13.4: the first StatSN is ours to choose; what the initiator expects suits a reinstated session.
    statSN: request.expStatSN,
    partial: new Uint8Array(0),
    outcomes: new Map(),
    declared: false,
  };
  if (request.currentStage === STAGE.operational) return { stage: "operational", ...progress };
  return { stage: "security", authentication: { kind: "open" }, ...progress };
}

function proceed(state: Negotiating, request: LoginRequest): Negotiating {
  checkStages(request);
  const { first } = state;
  if (request.isid !== first.isid || request.cid !== first.cid || request.taskTag !== first.taskTag || request.tsih !== first.tsih) {
    throw new Refusal(LOGIN_STATUS.initiatorError, "ISID, TSIH, CID or task tag changed within a login");
  }
  if (request.currentStage !== STAGE[state.stage]) {
    throw new Refusal(LOGIN_STATUS.initiatorError, `stage ${request.currentStage} within the ${state.stage} stage`);
  }
  if (state.requests >= MAX_LOGIN_REQUESTS) {
    throw new Refusal(LOGIN_STATUS.initiatorError, `no agreement after ${MAX_LOGIN_REQUESTS} requests`);
  }
  return { ...state, requests: state.requests + 1 };
}

/** RFC 7143, 11.12.1 to 11.12.3. */
function checkStages(request: LoginRequest): void {
  const { transit, continued, currentStage, nextStage } = request;
  const forwards = nextStage !== 2 && nextStage > currentStage;
  if (currentStage > STAGE.operational || (transit && (continued || !forwards))) {
    throw new Refusal(LOGIN_STATUS.initiatorError, `impossible stages: current ${currentStage}, next ${nextStage}`);
  }
}

function gather(partial: Uint8Array, data: Uint8Array): Uint8Array {
  if (partial.length === 0) return data;
  if (partial.length + data.length > MAX_TEXT_LENGTH) throw new TextError(`more than ${MAX_TEXT_LENGTH} octets of text`);
  return Buffer.concat([partial, data]);
}

/** RFC 7143, 6.3.1: the leading login names both sides. */
function identify(pairs: TextPairs, context: LoginContext): Identity {
  const keys = new Map(pairs);
  const initiatorText = keys.get("InitiatorName");
  if (initiatorText === undefined) throw new Refusal(LOGIN_STATUS.missingParameter, "InitiatorName is missing");
  const initiator = iscsiName(initiatorText);
  const type = keys.get("SessionType") ?? "Normal";
  if (type === "Discovery") return { initiator };
  if (type !== "Normal") throw new Refusal(LOGIN_STATUS.sessionTypeNotSupported, `there is no session type ${type}`);
  const targetText = keys.get("TargetName");
  if (targetText === undefined) throw new Refusal(LOGIN_STATUS.missingParameter, "TargetName is missing");
  const machine = context.machineByTarget(iscsiName(targetText));
  if (machine === undefined) throw new Refusal(LOGIN_STATUS.notFound, "there is no such target");
  if (!mayLogIn(machine, initiator, context.from)) {
    throw new Refusal(LOGIN_STATUS.authorizationFailure, `the disks of ${machine.name} are not for this initiator at ${context.from}`);
  }
  return { initiator, machine };
}

function iscsiName(text: string): Iqn {
  try {
    return parseIqn(text);
  } catch {
    throw new Refusal(LOGIN_STATUS.initiatorError, "a name that is no iSCSI name");
  }
}

function stepSecurity(
  state: Extract<LoginState, { stage: "security" }>,
  identity: Identity,
  request: LoginRequest,
  pairs: TextPairs,
  context: LoginContext,
): LoginStep {
  const mustProve = identity.machine?.chap === true;
  // The methods offered are exactly what the machine's configuration says, so there is nothing to be talked down to.
  const authMethods = [mustProve ? "CHAP" : "None"];
  const { answers, outcomes } = negotiate(pairs, state.outcomes, { stage: "security", discovery: isDiscovery(identity), authMethods });
  const offered = pairs.find(([key]) => key === "AuthMethod")?.[1];
  if (offered !== undefined && !outcomes.has("AuthMethod")) {
    throw new Refusal(LOGIN_STATUS.authenticationFailure, `AuthMethod=${offered} is offered where ${authMethods[0]} is needed`);
  }
  const { authentication, proofs } = authenticate(state.authentication, outcomes, identity, pairs, context);
  const transit = request.transit && (authentication.kind === "settled" || (!mustProve && authentication.kind === "open"));
  if (request.transit && mustProve && authentication.kind === "open") {
    throw new Refusal(LOGIN_STATUS.authenticationFailure, "the machine asks for CHAP, and the initiator offers no AuthMethod");
  }
  const next: Negotiating = { ...state, authentication, outcomes };
  return conclude(next, identity, request, transit, [...answers, ...proofs], context);
}

function authenticate(
  before: Authentication,
  outcomes: Outcomes,
  identity: Identity,
  pairs: TextPairs,
  context: LoginContext,
): { readonly authentication: Authentication; readonly proofs: TextPairs } {
  const method = outcomes.get("AuthMethod");
  const keys = new Map(pairs.filter(([key]) => key.startsWith("CHAP_")));
  if (method === undefined || method === "None") {
    return { authentication: method === "None" ? { kind: "settled" } : before, proofs: [] };
  }
  // The keys of the exchange come after the method is agreed on (RFC 7143, 12.1.3).
  if (before.kind === "open") return { authentication: { kind: "chap", chap: { step: "algorithm" } }, proofs: [] };
  if (before.kind === "settled" || keys.size === 0) return { authentication: before, proofs: [] };
  const secrets = identity.machine === undefined ? undefined : context.secretsFor(identity.machine.name);
  if (secrets === undefined) {
    throw new Refusal(LOGIN_STATUS.authenticationFailure, "the machine asks for CHAP, and the secrets file has no secret for it");
  }
  const result = chapStep(before.chap, keys, secrets, context.random);
  if ("failure" in result) throw new Refusal(LOGIN_STATUS.authenticationFailure, result.failure);
  const authentication: Authentication = result.state.step === "proved" ? { kind: "settled" } : { kind: "chap", chap: result.state };
  return { authentication, proofs: result.answers };
}

function stepOperational(
  state: Extract<LoginState, { stage: "operational" }>,
  identity: Identity,
  request: LoginRequest,
  pairs: TextPairs,
  context: LoginContext,
): LoginStep {
  if (identity.machine?.chap === true && state.first.currentStage !== STAGE.security) {
    throw new Refusal(LOGIN_STATUS.authenticationFailure, "the machine asks for CHAP, and the initiator skips the security stage");
  }
  const discovery = isDiscovery(identity);
  const { answers, outcomes } = negotiate(pairs, state.outcomes, { stage: "operational", discovery, authMethods: [] });
  return conclude({ ...state, outcomes }, identity, request, request.transit, answers, context);
}

const isDiscovery = (identity: Identity): boolean => identity.machine === undefined;

/** Adds what we declare, moves on to the next stage, and hands over when that is the full-feature phase. */
function conclude(
  state: Negotiating,
  identity: Identity,
  request: LoginRequest,
  transit: boolean,
  answers: TextPairs,
  context: LoginContext,
): LoginStep {
  // Whoever sends a key that is ours to declare is told so by its answer; no key may stand in a text twice (RFC 7143, 6.2).
  const declared = declarations(state, identity, request, transit, context).filter(
    ([key]) => !answers.some(([answered]) => answered === key),
  );
  const text = encodeText([...answers, ...declared]);
  const answer = { response: respond(state, request, transit), text };
  const progressed = { ...state, declared: true, statSN: (state.statSN + 1) >>> 0 };
  if (!transit) return { state: progressed, answer };
  if (request.nextStage === STAGE.operational) {
    const { first, requests, statSN, partial, outcomes, declared } = progressed;
    return { state: { stage: "operational", first, requests, statSN, partial, identity, outcomes, declared }, answer };
  }
  const parameters = sessionParameters(progressed, identity);
  return {
    state: { stage: "complete", statSN: state.statSN },
    answer,
    done: { ...identity, isid: request.isid, cid: request.cid, parameters },
  };
}

function declarations(state: Negotiating, identity: Identity, request: LoginRequest, transit: boolean, context: LoginContext): TextPairs {
  const pairs: [string, string][] = [];
  if (!state.declared && identity.machine !== undefined) {
    // RFC 7143, 13.9: in the first answer of a normal session.
    pairs.push(["TargetPortalGroupTag", String(context.portalGroupTag)], ["TargetAlias", identity.machine.hostname]);
  }
  if (transit && request.nextStage === STAGE.fullFeature && state.stage === "operational") {
    pairs.push(["MaxRecvDataSegmentLength", String(oursOf("MaxRecvDataSegmentLength"))]);
  }
  return pairs;
}

function respond(state: Negotiating, request: LoginRequest, transit: boolean): LoginResponse {
  return {
    transit,
    continued: false,
    currentStage: request.currentStage,
    nextStage: transit ? request.nextStage : 0,
    versionMax: 0,
    versionActive: 0,
    isid: request.isid,
    tsih: request.tsih,
    taskTag: request.taskTag,
    statSN: state.statSN,
    expCmdSN: request.cmdSN,
    maxCmdSN: (request.cmdSN + LOGIN_WINDOW) >>> 0,
    status: LOGIN_STATUS.success,
  };
}

function sessionParameters(state: Negotiating, identity: Identity): SessionParameters {
  const { outcomes } = state;
  const maxBurstLength = numberOf(outcomes, "MaxBurstLength");
  return {
    discovery: isDiscovery(identity),
    maxSendDataSegmentLength: Math.min(numberOf(outcomes, "MaxRecvDataSegmentLength"), MAX_SEND_SEGMENT_LENGTH),
    maxRecvDataSegmentLength: oursOf("MaxRecvDataSegmentLength"),
    maxBurstLength,
    firstBurstLength: Math.min(numberOf(outcomes, "FirstBurstLength"), maxBurstLength),
    maxOutstandingR2T: numberOf(outcomes, "MaxOutstandingR2T"),
    initialR2T: booleanOf(outcomes, "InitialR2T"),
    immediateData: booleanOf(outcomes, "ImmediateData"),
    headerDigest: outcomes.get("HeaderDigest") === "CRC32C",
    dataDigest: outcomes.get("DataDigest") === "CRC32C",
    statSN: state.statSN,
    expCmdSN: state.first.cmdSN,
  };
}

/** RFC 7143, 11.13.5: the status says why, and the connection ends after it. */
export function refuse(state: LoginState, request: LoginRequest, data: Uint8Array, status: LoginStatus, reason: string): LoginStep {
  const statSN = "statSN" in state ? state.statSN : request.expStatSN;
  const response: LoginResponse = {
    transit: false,
    continued: false,
    currentStage: request.currentStage,
    nextStage: 0,
    versionMax: 0,
    versionActive: 0,
    isid: request.isid,
    tsih: request.tsih,
    taskTag: request.taskTag,
    statSN,
    expCmdSN: request.cmdSN,
    maxCmdSN: (request.cmdSN + LOGIN_WINDOW) >>> 0,
    status,
  };
  return { state: { stage: "refused" }, answer: { response, text: new Uint8Array(0) }, refusal: { reason, ...namesIn(state, data) } };
}

/** What the peer called itself and wanted, as far as it can be told; for the log only. */
function namesIn(state: LoginState, data: Uint8Array): { readonly initiator?: string; readonly target?: string } {
  const identity = "identity" in state ? state.identity : undefined;
  if (identity !== undefined) {
    return { initiator: identity.initiator, ...(identity.machine === undefined ? {} : { target: identity.machine.target }) };
  }
  try {
    const keys = new Map(decodeText(data));
    const initiator = keys.get("InitiatorName");
    const target = keys.get("TargetName");
    return { ...(initiator === undefined ? {} : { initiator }), ...(target === undefined ? {} : { target }) };
  } catch {
    return {};
  }
}
