import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CommandResult,
  type ConnectionId,
  type DataPlane,
  type DataPlaneEvent,
  type LunMapping,
  openDataPlane,
  type SessionParameters,
  type VolumeId,
  type VolumeSpec,
} from "../../src/native/data-plane.ts";
import { cdb } from "./cdb.ts";
import { Initiator, type InitiatorOptions } from "./initiator.ts";

type EventOf<T extends DataPlaneEvent["type"]> = Extract<DataPlaneEvent, { type: T }>;
type Command = EventOf<"command">;

/** What the captured dracut session negotiates with us, in round numbers. */
export const PARAMETERS: SessionParameters = {
  discovery: false,
  maxSendDataSegmentLength: 65_536,
  maxRecvDataSegmentLength: 262_144,
  maxBurstLength: 262_144,
  firstBurstLength: 65_536,
  maxOutstandingR2T: 1,
  initialR2T: false,
  immediateData: true,
  headerDigest: false,
  dataDigest: false,
  statSN: 1,
  expCmdSN: 1,
};

export interface LoginOptions extends InitiatorOptions {
  readonly parameters?: Partial<SessionParameters>;
  readonly luns?: readonly LunMapping[];
  readonly account?: string;
  /** Leaves the power-on unit attention of each LUN pending. */
  readonly keepAttention?: boolean;
}

/** A data plane with a portal on the loopback, a control plane that agrees to every login, and files for volumes. */
export class Bench {
  readonly plane: DataPlane;
  readonly events: DataPlaneEvent[] = [];
  readonly folder: string;
  readonly port: number;
  /** Answers commands that come up; by default as an unknown command. */
  onCommand: (command: Command) => CommandResult | undefined = () => ({ status: 2, sense: sense(5, 0x20, 0) });
  onText: (event: EventOf<"pdu">) => void = () => undefined;
  readonly #inFullFeature = new Set<ConnectionId>();
  readonly #waiting: { readonly match: (event: DataPlaneEvent) => boolean; readonly resolve: (event: DataPlaneEvent) => void }[] = [];
  readonly #logins: { readonly parameters: SessionParameters; readonly luns: readonly LunMapping[]; readonly account: string }[] = [];
  #files = 0;
  #lastLogin: Promise<unknown> = Promise.resolve();

  constructor(
    options: {
      readonly threads?: number;
      readonly memoryBytes?: number;
      readonly folder?: string;
      readonly pingAfterMilliseconds?: number;
      readonly pingAnswerMilliseconds?: number;
    } = {},
  ) {
    this.folder = mkdtempSync(join(options.folder ?? tmpdir(), "rackboot-native-"));
    this.plane = openDataPlane({
      ...options,
      threads: options.threads ?? 2,
      memoryBytes: options.memoryBytes ?? 64 * 1024 * 1024,
      onEvents: (events) => events.forEach((event) => void this.#handle(event)),
    });
    this.port = this.plane.listen(0, "127.0.0.1", 0);
  }

  async close(): Promise<void> {
    await this.plane.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #handle(event: DataPlaneEvent): void {
    this.events.push(event);
    if (event.type === "pdu") {
      if (this.#inFullFeature.has(event.connection)) this.onText(event);
      else this.#answerLogin(event);
    }
    if (event.type === "command") {
      const result = this.onCommand(event);
      if (result !== undefined) this.plane.completeCommand(event.connection, event.task, result);
    }
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const waiting = this.#waiting[i];
      if (waiting?.match(event) !== true) continue;
      this.#waiting.splice(i, 1);
      waiting.resolve(event);
    }
  }

  #answerLogin(event: EventOf<"pdu">): void {
    const login = this.#logins.shift();
    if (login === undefined) return;
    const header = Buffer.alloc(48);
    header[0] = 0x23;
    header[1] = 0x87;
    header.writeUInt32BE(login.parameters.statSN - 1, 24);
    header.writeUInt32BE(login.parameters.expCmdSN, 28);
    header.writeUInt32BE(login.parameters.expCmdSN + 127, 32);
    this.#inFullFeature.add(event.connection);
    this.plane.enterFullFeature(event.connection, header, new Uint8Array(0), login.parameters, login.luns, login.account);
  }

  /** The next event, or one that came already, of this kind. */
  event<T extends DataPlaneEvent["type"]>(type: T, match: (event: EventOf<T>) => boolean = () => true): Promise<EventOf<T>> {
    const matches = (event: DataPlaneEvent): event is EventOf<T> => event.type === type && match(event as EventOf<T>);
    const past = this.events.find(matches);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve) => this.#waiting.push({ match: matches, resolve: (event) => resolve(event as EventOf<T>) }));
  }

  volume(sizeBytes: number, changes: Partial<VolumeSpec> = {}): { readonly id: VolumeId; readonly path: string } {
    const path = changes.path ?? join(this.folder, `disk${this.#files++}`);
    if (changes.path === undefined) {
      writeFileSync(path, "");
      truncateSync(path, sizeBytes);
    }
    const id = this.plane.openVolume({ sizeBytes: 0, blockSize: 512, readOnly: false, writeCache: true, thin: true, ...changes, path });
    return { id, path };
  }

  /** A session in the full-feature phase, with its connection's id. Logins follow each other: which is whose is told by their order. */
  login(volumes: readonly VolumeId[], options: LoginOptions = {}): Promise<Initiator & { readonly connection: ConnectionId }> {
    const next = this.#lastLogin.then(() => this.#login(volumes, options));
    this.#lastLogin = next.catch(() => undefined);
    return next;
  }

  async #login(volumes: readonly VolumeId[], options: LoginOptions): Promise<Initiator & { readonly connection: ConnectionId }> {
    const luns = options.luns ?? volumes.map((volume, lun) => ({ lun, volume, readOnly: false }));
    const parameters = { ...PARAMETERS, headerDigest: options.headerDigest === true, dataDigest: options.dataDigest === true };
    const before = this.events.length;
    const initiator = await Initiator.connect(this.port, options);
    this.#logins.push({ parameters: { ...parameters, ...options.parameters }, luns, account: options.account ?? "" });
    await initiator.login();
    const pdu = this.events.slice(before).find((event) => event.type === "pdu" && (event.header[0] ?? 0) === 0x43);
    if (pdu?.type !== "pdu") throw new Error("no login came up");
    if (options.keepAttention !== true) {
      for (const { lun } of luns) await initiator.execute(cdb.testUnitReady(), { lun });
    }
    return Object.assign(initiator, { connection: pdu.connection });
  }
}

/** Fixed-format sense data (SPC-4, 4.5.3). */
export function sense(key: number, asc: number, ascq: number): Uint8Array {
  const out = new Uint8Array(18);
  out[0] = 0x70;
  out[2] = key;
  out[7] = 10;
  out[12] = asc;
  out[13] = ascq;
  return out;
}

/** Octets that tell where they belong: no two blocks alike. */
export function pattern(length: number, seed = 0): Buffer {
  const out = Buffer.alloc(length);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i + 4 <= length; i += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out.writeUInt32LE(state, i);
  }
  return out;
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 20_000; !condition(); ) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
