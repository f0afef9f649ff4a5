import { setTimeout as sleep } from "node:timers/promises";
import { type MachineName, parseIpv4, type VolumeName } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { Rack } from "../machine/rack.ts";
import type { CloseReason, ConnectionId, DataPlane, DataPlaneEvent, LunMapping, VolumeId } from "../native/data-plane.ts";
import type { StateEvent } from "../state/events.ts";
import { ShortInputError } from "../wire/reader.ts";
import type { Connection, FullFeature, Phase } from "./connection.ts";
import type { Portal } from "./discovery.ts";
import { type Identity, type LoginDone, type LoginStep, NEW_LOGIN, refuse, step } from "./login.ts";
import { LoginPace } from "./login-pace.ts";
import { decodeLoginRequest, encodeLoginResponse, LOGIN_STATUS, type LoginRequest } from "./login-pdu.ts";
import { closing, keepsAccess, lunsOf, nexusOf, type SessionFacts, sameLuns, scsiNexus } from "./nexus.ts";
import {
  ASYNC_EVENT,
  decodeTextRequest,
  encodeAsyncMessage,
  encodeReject,
  encodeTextResponse,
  HEADER_LENGTH,
  OPCODE,
  opcodeOf,
  PduError,
} from "./pdu.ts";
import { Portals, type WantedPortals } from "./portals.ts";
import type { IscsiServerParts } from "./server-parts.ts";
import { SessionTable } from "./sessions.ts";
import { IDLE_TEXT, textStep } from "./text-exchange.ts";
import { type ServedUnit, Units, type Viewer } from "./units.ts";

/** Connections that have not logged in yet; more than a rack that powers on at once ever has. */
export const MAX_PENDING_LOGINS = 256;

/**
 * The iSCSI target: what the data plane passes up is answered here. It owns no socket and no payload. Construct it, hand
 * {@link handle} to the data plane as `onEvents`, then {@link listen}.
 */
export class IscsiServer {
  readonly #parts: IscsiServerParts;
  readonly #plane: DataPlane;
  readonly #sessions: SessionTable;
  readonly #units: Units;
  readonly #connections = new Map<ConnectionId, Connection>();
  readonly #pace = new LoginPace();
  #rack: Rack;
  readonly #portals: Portals;

  constructor(parts: IscsiServerParts) {
    this.#parts = parts;
    this.#plane = parts.dataPlane;
    this.#rack = parts.rack;
    this.#portals = new Portals(parts.dataPlane);
    this.#sessions = new SessionTable((connection, detail) => this.#end(connection, detail));
    const { dataPlane, reservations, sanitized } = parts;
    this.#units = new Units({
      dataPlane,
      store: reservations,
      sanitized,
      viewers: (volume) => this.#viewers(volume),
      provisioned: (volume) => parts.volumes.provisioned(volume),
    });
  }

  /** Opens the portals; throws what the data plane throws. Returns them with the ports that they got. */
  listen(): readonly Portal[] {
    this.#refreshAll();
    return this.#portals.listen(this.#parts.portals);
  }

  /**
   * Opens other portals in the place of those that are open; sessions go on. Undefined where they are the same ones. Where one
   * cannot be had, it throws what the data plane throws, and those before are open again.
   */
  relisten(wanted: WantedPortals): readonly Portal[] | undefined {
    return this.#portals.change(wanted);
  }

  /** Everything that the data plane reports, in order. Never throws for what a peer sent. */
  handle(events: readonly DataPlaneEvent[]): void {
    for (const event of events) this.#handleOne(event);
  }

  #handleOne(event: DataPlaneEvent): void {
    switch (event.type) {
      case "accepted":
        this.#accepted(event);
        break;
      case "pdu":
        this.#pdu(event.connection, event.header, event.data);
        break;
      case "command":
        this.#command(event);
        break;
      case "first-read":
        this.#parts.emit({ type: "iscsi.firstRead", connection: event.connection, ...this.#who(event.connection) });
        break;
      case "closed":
        this.#closed(event.connection, event.reason, event.detail);
        break;
      case "volume-failed":
        this.#volumeEvent(event.volume, (volume) => ({ type: "volume.failed", volume, reason: event.reason, storage: true }));
        break;
      case "volume-full":
        this.#parts.onFull?.(event.volume);
        break;
      case "volume-reset":
        this.#units.reset(this.#parts.volumes.byId(event.volume));
        break;
      case "volume-mapped": {
        const { sharedBytes, elapsedMs } = event;
        this.#volumeEvent(event.volume, (volume) => ({ type: "volume.shared", volume, sharedBytes, elapsedMs }));
        break;
      }
      case "task-management":
        break;
    }
  }

  #volumeEvent(id: VolumeId, event: (volume: VolumeName) => StateEvent): void {
    const volume = this.#parts.volumes.byId(id);
    if (volume !== undefined) this.#parts.emit(event(volume.name));
  }

  #accepted(event: Extract<DataPlaneEvent, { type: "accepted" }>): void {
    const portal: Portal = { address: event.localAddress, port: event.localPort, tag: event.portal + 1 };
    const address = parseIpv4(event.peerAddress);
    const peer = `${address}:${event.peerPort}`;
    const pending = [...this.#connections.values()].filter(({ phase }) => phase.kind === "login").length;
    this.#connections.set(event.connection, { id: event.connection, address, peer, portal, phase: { kind: "login", state: NEW_LOGIN } });
    if (!this.#pace.mayTry(address)) {
      this.#end(event.connection, "earlier logins from this address wait for their refusals");
      return;
    }
    if (pending < MAX_PENDING_LOGINS) return;
    this.#parts.emit({ type: "iscsi.refused", peer, reason: `${MAX_PENDING_LOGINS} logins are under way` });
    this.#end(event.connection, "too many logins are under way");
  }

  #pdu(id: ConnectionId, header: Uint8Array, data: Uint8Array): void {
    const connection = this.#connections.get(id);
    if (connection === undefined || connection.phase.kind === "ending") return;
    try {
      if (connection.phase.kind === "full-feature") this.#text(connection, connection.phase, header, data);
      else this.#login(connection, connection.phase, header, data);
    } catch (error) {
      if (!(error instanceof PduError || error instanceof ShortInputError)) throw error;
      this.#malformed(connection, error.message);
    }
  }

  #malformed(connection: Connection, reason: string): void {
    this.#parts.emit({ type: "peer.malformed", service: "iscsi", peer: connection.peer, reason });
    this.#end(connection.id, reason);
  }

  #login(connection: Connection, phase: Exclude<Phase, FullFeature>, header: Uint8Array, data: Uint8Array): void {
    if (opcodeOf(header) !== OPCODE.loginRequest) throw new PduError("something other than a login request before the login was over");
    const request = decodeLoginRequest(header);
    if (phase.kind !== "login") throw new PduError("a login request before the last one was answered");
    const result = step(phase.state, request, data, {
      portalGroupTag: connection.portal.tag,
      from: connection.address,
      machineByTarget: (target) => this.#rack.byTarget(target),
      secretsFor: this.#parts.secretsFor,
      cidOfSession: (tsih) => this.#sessions.cidOf(tsih),
      random: this.#parts.random,
    });
    if (result.done !== undefined) {
      connection.phase = { kind: "admitting" };
      void this.#admit(connection, request, result, result.done);
      return;
    }
    connection.phase = { kind: "login", state: result.state };
    if (result.answer.response.status === LOGIN_STATUS.authenticationFailure) this.#refuseInTime(connection, result);
    else this.#answerLogin(connection, result);
  }

  #refuseInTime(connection: Connection, result: LoginStep): void {
    const { id, address } = connection;
    const { delayMs, began } = this.#pace.failed(address, performance.now());
    if (began !== undefined) this.#parts.emit({ type: "iscsi.slowed", peer: address, failures: began });
    if (delayMs === 0) {
      this.#answerLogin(connection, result);
      return;
    }
    // Nobody waits for it but this peer: it counts as a login that is over.
    connection.phase = { kind: "ending" };
    const answer = (): void => {
      this.#pace.released(address);
      if (this.#connections.has(id)) this.#answerLogin(connection, result);
    };
    setTimeout(answer, delayMs).unref();
  }

  #answerLogin(connection: Connection, { answer, refusal }: LoginStep): void {
    this.#plane.sendLoginPdu(connection.id, encodeLoginResponse(answer.response, answer.text.length), answer.text);
    if (refusal === undefined) return;
    const machine = this.#machineNamed(refusal.target);
    this.#parts.emit({ type: "iscsi.refused", peer: connection.peer, ...refusal, ...(machine && { machine }) });
    this.#end(connection.id, refusal.reason);
  }

  #machineNamed(target: string | undefined): MachineName | undefined {
    return this.#rack.machines.find((machine) => machine.target === target)?.name;
  }

  async #admit(connection: Connection, request: LoginRequest, result: LoginStep, done: LoginDone): Promise<void> {
    const admission = await this.#sessions.admit(connection.id, done.cid, nexusOf(done, connection.portal.tag));
    if (admission.kind === "gone" || connection.phase.kind !== "admitting") return;
    const refused = (status: (typeof LOGIN_STATUS)[keyof typeof LOGIN_STATUS], reason: string): void => {
      const refusal = refuse(result.state, request, new Uint8Array(0), status, reason);
      const names = { initiator: done.initiator, ...(done.machine && { target: done.machine.target }) };
      this.#answerLogin(connection, { ...refusal, refusal: { reason, ...names } });
    };
    if (admission.kind === "full") return refused(LOGIN_STATUS.outOfResources, admission.reason);
    if (done.machine !== undefined) await this.#parts.ready?.(done.machine.name, admission.reinstated);
    if (this.#connections.get(connection.id)?.phase.kind !== "admitting") return;
    // While the predecessor ended, or a disk was made, the configuration may have changed.
    const machine = done.machine && this.#rack.byTarget(done.machine.target);
    if (done.machine !== undefined && (machine === undefined || !keepsAccess(done.machine, machine, done.initiator, connection.address))) {
      return refused(LOGIN_STATUS.targetRemoved, "the machine left the configuration, or its access changed");
    }
    const luns = machine === undefined ? [] : this.#lunsOf(machine);
    if (machine !== undefined && machine.disks.length > 0 && luns.length === 0) {
      return refused(LOGIN_STATUS.serviceUnavailable, "none of the machine's disks is available");
    }
    const { response, text } = result.answer;
    const header = encodeLoginResponse({ ...response, tsih: admission.tsih }, text.length);
    connection.phase = {
      kind: "full-feature",
      initiator: done.initiator,
      machine,
      nexus: machine && scsiNexus(done, machine.target, connection.portal.tag),
      luns,
      text: IDLE_TEXT,
      maxDataLength: done.parameters.maxSendDataSegmentLength,
    };
    this.#granted(luns);
    this.#plane.enterFullFeature(connection.id, header, text, done.parameters, luns, machine?.name ?? "");
    this.#announce(connection, { initiator: done.initiator, ...(machine && { machine }) }, admission.reinstated);
  }

  #announce({ id, peer }: Connection, { initiator, machine }: Identity, reinstated: boolean): void {
    if (machine === undefined) this.#parts.emit({ type: "iscsi.discovery", connection: id, initiator, peer });
    else {
      const { name, target } = machine;
      this.#parts.emit({ type: "iscsi.login", machine: name, connection: id, initiator, target, peer, reinstated });
    }
  }

  #text(connection: Connection, session: FullFeature, header: Uint8Array, data: Uint8Array): void {
    const result = textStep(session.text, decodeTextRequest(header), data, {
      discovery: {
        visible: this.#rack.byInitiator(session.initiator, connection.address),
        ...(session.machine && { sessionTarget: session.machine.target }),
        portals: this.#portals.seenFrom(connection.portal),
      },
      maxDataLength: session.maxDataLength,
    });
    session.text = result.state;
    if ("reject" in result) {
      this.#parts.emit({ type: "peer.malformed", service: "iscsi", peer: connection.peer, reason: result.reason });
      this.#plane.sendPdu(connection.id, encodeReject(result.reject), header.subarray(0, HEADER_LENGTH));
    } else {
      this.#plane.sendPdu(connection.id, encodeTextResponse(result.response, result.data.length), result.data);
    }
  }

  #command(event: Extract<DataPlaneEvent, { type: "command" }>): void {
    const connection = this.#connections.get(event.connection);
    if (connection?.phase.kind !== "full-feature") return;
    const { machine, luns, nexus } = connection.phase;
    if (nexus === undefined) return;
    const unit = event.volume === undefined ? undefined : this.#parts.volumes.byId(event.volume);
    const context = {
      unit,
      nexus,
      units: this.#unitsOf(luns),
      luns: luns.map(({ lun }) => lun),
      target: machine?.target,
      portalTag: connection.portal.tag,
      portalTags: this.#portals.open.map(({ tag }) => tag),
    };
    const result = this.#units.run(event, context, event.connection);
    if (!(result instanceof Promise)) this.#plane.completeCommand(event.connection, event.task, result);
    else void result.then((settled) => this.#plane.completeCommand(event.connection, event.task, settled));
  }

  /** Sessions that see a disk. */
  *#viewers(volume: VolumeId): Generator<Viewer> {
    for (const { id, phase } of this.#connections.values()) {
      if (phase.kind !== "full-feature" || phase.nexus === undefined) continue;
      if (phase.luns.some((mapping) => mapping.volume === volume)) yield { connection: id, nexus: phase.nexus };
    }
  }

  /** Before a session sees these disks: what their reservations leave to it. */
  #granted(luns: readonly LunMapping[]): void {
    for (const unit of this.#unitsOf(luns)) this.#units.refresh(unit);
  }

  /** Whatever was to be done to disks when this service ended is gone on with, before anybody sees them. */
  #refreshAll(): void {
    for (const machine of this.#rack.machines) this.#granted(this.#lunsOf(machine));
  }

  #unitsOf(luns: readonly LunMapping[]): readonly ServedUnit[] {
    return luns.flatMap(({ volume }) => this.#parts.volumes.byId(volume) ?? []);
  }

  #closed(id: ConnectionId, reason: CloseReason, detail: string): void {
    const connection = this.#connections.get(id);
    const who = this.#who(id);
    this.#connections.delete(id);
    const session = this.#sessions.closed(id, reason === "logout");
    if (connection !== undefined && (reason === "protocol-error" || reason === "digest-error")) {
      this.#parts.emit({ type: "peer.malformed", service: "iscsi", peer: connection.peer, reason: detail });
    }
    if (session === undefined || connection?.phase.kind !== "full-feature") return;
    const { luns, nexus } = connection.phase;
    if (nexus !== undefined) this.#units.nexusLost(this.#unitsOf(luns), nexus);
    this.#parts.emit({ type: "iscsi.closed", connection: id, reason: closing(reason, detail), ...who });
  }

  /** The configuration changed, or disks were opened anew: sessions that may go on do so, with the disks that they have now. */
  applyRack(rack: Rack): void {
    this.#rack = rack;
    this.#units.forgetClosed((volume) => this.#parts.volumes.byId(volume) !== undefined);
    this.#refreshAll();
    for (const connection of this.#connections.values()) {
      if (connection.phase.kind === "full-feature" && connection.phase.machine !== undefined) {
        this.#follow(connection, connection.phase, connection.phase.machine);
      }
    }
  }

  #follow({ id, address }: Connection, session: FullFeature, before: Machine): void {
    const machine = this.#rack.byName(before.name);
    if (machine === undefined || !keepsAccess(before, machine, session.initiator, address)) {
      this.#end(id, "the machine left the configuration, or its access changed");
      return;
    }
    session.machine = machine;
    const luns = this.#lunsOf(machine);
    if (sameLuns(session.luns, luns)) return;
    session.luns = luns;
    this.#granted(luns);
    this.#plane.setLuns(id, luns);
  }

  #lunsOf(machine: Machine): readonly LunMapping[] {
    return lunsOf(machine, this.#parts.volumes);
  }

  /** A new boot begins, or a machine is taken out: drops all its sessions, and resolves when nothing of them is in flight. */
  async fence(machine: MachineName, detail = "a new boot of the machine began"): Promise<void> {
    await this.#sessions.fence(machine, detail);
  }

  *sessions(): Generator<SessionFacts> {
    for (const { id, peer, phase } of this.#connections.values()) {
      if (phase.kind !== "full-feature") continue;
      yield { connection: id, initiator: phase.initiator, peer, ...(phase.machine && { machine: phase.machine.name }) };
    }
  }

  /** Takes no more logins, asks every initiator to log out (RFC 7143, 11.9), and drops those that are still there after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#portals.close();
    const seconds = Math.ceil(graceMs / 1000);
    const request = encodeAsyncMessage({ event: ASYNC_EVENT.logoutRequest, parameters: [0, 0, seconds] });
    for (const { connection } of this.sessions()) this.#plane.sendPdu(connection, request, new Uint8Array(0));
    const pollMs = 20;
    for (let waitedMs = 0; waitedMs < graceMs && this.#sessions.size > 0; waitedMs += pollMs) await sleep(pollMs);
    for (const id of this.#connections.keys()) this.#end(id, "the daemon is stopping");
  }

  #end(id: ConnectionId, detail: string): void {
    const connection = this.#connections.get(id);
    // What a session was stays known until it has closed, so that its end can be told.
    if (connection !== undefined && connection.phase.kind !== "full-feature") connection.phase = { kind: "ending" };
    this.#plane.drop(id, detail);
  }

  #who(id: ConnectionId): { readonly machine?: MachineName } {
    const phase = this.#connections.get(id)?.phase;
    return phase?.kind === "full-feature" && phase.machine !== undefined ? { machine: phase.machine.name } : {};
  }
}
