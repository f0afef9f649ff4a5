import type {
  Audience,
  CommandResult,
  ConnectionId,
  DataPlane,
  DataPlaneCounters,
  DataPlaneEvent,
  LunMapping,
  RingCapabilities,
  SessionParameters,
  TaskId,
  VolumeAccess,
  VolumeChange,
  VolumeId,
  VolumeSpec,
} from "../../src/native/data-plane.ts";

/** A PDU that was sent, as it was handed over. */
export interface SentPdu {
  readonly connection: ConnectionId;
  readonly header: Uint8Array;
  readonly data: Uint8Array;
}

/** What enterFullFeature was told. */
export interface EnteredSession extends SentPdu {
  readonly session: SessionParameters;
  readonly account: string;
  luns: readonly LunMapping[];
}

/**
 * The data plane's interface in plain TypeScript, for unit tests: it keeps what it is told and reports what a test makes
 * happen. `closed` events are held back until {@link finishClosing}, as the real one holds them until the last write is done.
 */
export class FakeDataPlane implements DataPlane {
  readonly capabilities: RingCapabilities = { kernel: "fake", features: [], missing: [] };
  readonly volumes: Map<VolumeId, VolumeSpec> = new Map();
  readonly listening: Map<number, { readonly address: string; readonly port: number }> = new Map();
  readonly sent: SentPdu[] = [];
  readonly sessions: Map<ConnectionId, EnteredSession> = new Map();
  readonly completed: { readonly connection: ConnectionId; readonly task: TaskId; readonly result: CommandResult }[] = [];
  readonly attentions: { readonly volume: VolumeId; readonly asc: number; readonly ascq: number; readonly audience?: Audience }[] = [];
  readonly access: Map<VolumeId, VolumeAccess> = new Map();
  readonly frozen: Set<VolumeId> = new Set();
  readonly withdrawn: string[] = [];
  /** Dropped, but not closed yet. */
  readonly closing: Map<ConnectionId, string> = new Map();
  onEvents: (events: readonly DataPlaneEvent[]) => void = () => {};
  /** Dropped connections close at once, unless a test wants to see what waits for them. */
  closesAtOnce = true;
  #nextConnection = 1;
  #nextVolume = 1;
  #nextTask = 1;
  readonly #open = new Set<ConnectionId>();

  /** A peer connects. */
  accept(portal = 0, peerAddress = "127.0.0.9"): ConnectionId {
    const connection = this.#nextConnection++;
    this.#open.add(connection);
    const { address, port } = this.listening.get(portal) ?? { address: "127.0.0.1", port: 3260 };
    this.onEvents([{ type: "accepted", connection, portal, peerAddress, peerPort: 40000, localAddress: address, localPort: port }]);
    return connection;
  }

  /** A PDU arrives. */
  receive(connection: ConnectionId, header: Uint8Array, data: Uint8Array): void {
    this.onEvents([{ type: "pdu", connection, header, data }]);
  }

  /** A command arrives; returns how it was answered. */
  command(connection: ConnectionId, lun: number, cdb: Uint8Array, dataOut: Uint8Array = new Uint8Array(0)): CommandResult | undefined {
    const task = this.#nextTask++;
    const volume = this.sessions.get(connection)?.luns.find((mapping) => mapping.lun === lun)?.volume;
    this.onEvents([{ type: "command", connection, task, lun, volume, cdb, dataOut, expectedDataLength: 65536 }]);
    return this.completed.find((answer) => answer.connection === connection && answer.task === task)?.result;
  }

  /** A peer goes away by itself. */
  hangUp(connection: ConnectionId): void {
    this.#close(connection, "peer-closed", "");
  }

  /** Nothing of a dropped connection is in flight any more. */
  finishClosing(connection: ConnectionId): void {
    const detail = this.closing.get(connection);
    if (detail === undefined) throw new Error(`connection ${connection} was not dropped`);
    this.#close(connection, "dropped", detail);
  }

  #close(connection: ConnectionId, reason: "peer-closed" | "dropped", detail: string): void {
    if (!this.#open.delete(connection)) return;
    this.closing.delete(connection);
    this.sessions.delete(connection);
    this.onEvents([{ type: "closed", connection, reason, detail }]);
  }

  listen(portal: number, address: string, port: number): number {
    const chosen = port === 0 ? 50000 + portal : port;
    this.listening.set(portal, { address, port: chosen });
    return chosen;
  }

  unlisten(portal: number): void {
    this.listening.delete(portal);
  }

  openVolume(spec: VolumeSpec): VolumeId {
    const id = this.#nextVolume++;
    this.volumes.set(id, spec);
    return id;
  }

  async closeVolume(volume: VolumeId): Promise<void> {
    this.volumes.delete(volume);
  }

  async updateVolume(volume: VolumeId, change: VolumeChange): Promise<void> {
    const spec = this.volumes.get(volume);
    if (spec !== undefined) this.volumes.set(volume, { ...spec, ...change });
  }

  async setAccess(volume: VolumeId, access: VolumeAccess): Promise<void> {
    this.access.set(volume, access);
  }

  async abortTasks(): Promise<void> {}

  async workRange(): Promise<void> {}

  async flush(): Promise<void> {}

  async freeze(volume: VolumeId): Promise<void> {
    this.frozen.add(volume);
  }

  thaw(volume: VolumeId): void {
    this.frozen.delete(volume);
  }

  withdrawOrigin(path: string): void {
    this.withdrawn.push(path);
  }

  sendLoginPdu(connection: ConnectionId, header: Uint8Array, data: Uint8Array): void {
    if (this.#open.has(connection)) this.sent.push({ connection, header, data });
  }

  enterFullFeature(
    connection: ConnectionId,
    header: Uint8Array,
    data: Uint8Array,
    session: SessionParameters,
    luns: readonly LunMapping[],
    account: string,
  ): void {
    if (!this.#open.has(connection)) return;
    this.sent.push({ connection, header, data });
    this.sessions.set(connection, { connection, header, data, session, luns, account });
  }

  setLuns(connection: ConnectionId, luns: readonly LunMapping[]): void {
    const session = this.sessions.get(connection);
    if (session !== undefined) session.luns = luns;
  }

  sendPdu(connection: ConnectionId, header: Uint8Array, data: Uint8Array): void {
    if (this.sessions.has(connection)) this.sent.push({ connection, header, data });
  }

  completeCommand(connection: ConnectionId, task: TaskId, result: CommandResult): void {
    this.completed.push({ connection, task, result });
  }

  raiseUnitAttention(volume: VolumeId, asc: number, ascq: number, audience?: Audience): void {
    this.attentions.push({ volume, asc, ascq, ...(audience !== undefined && { audience }) });
  }

  /** As in the real one, `closed` never comes from within the call. */
  drop(connection: ConnectionId, detail: string): void {
    if (!this.#open.has(connection) || this.closing.has(connection)) return;
    this.closing.set(connection, detail);
    if (this.closesAtOnce) queueMicrotask(() => this.#close(connection, "dropped", detail));
  }

  counters(): DataPlaneCounters {
    return {
      connections: this.#open.size,
      bytesReceived: 0,
      bytesSent: 0,
      commandsPassedUp: this.#nextTask - 1,
      protocolErrors: 0,
      bufferBytes: 0,
      payloadBytesCopied: 0,
      ring: { entries: 0, completions: 0, spins: 0, sleeps: 0 },
      accounts: [],
      volumes: [...this.volumes.keys()].map((volume) => ({
        volume,
        readOps: 0,
        readBytes: 0,
        borrowedBytes: 0,
        writeOps: 0,
        writeBytes: 0,
        flushOps: 0,
        errors: 0,
        readErrors: 0,
        queueDepth: 0,
      })),
    };
  }

  async close(): Promise<void> {
    for (const connection of [...this.#open]) this.#close(connection, "dropped", "shutdown");
  }
}
