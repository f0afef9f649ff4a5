import { loadAddon } from "./addon.ts";

/** What the addon exports for this door. */
interface Exports {
  openDataPlane(options: DataPlaneOptions): DataPlane;
}

/**
 * The door to the iSCSI data plane: C++ threads, each with an io_uring of its own, that own every iSCSI socket.
 *
 * What crosses: login and text PDUs, commands off the hot path, events, counters. What never crosses: sockets, and the
 * payload of READ and WRITE. Calls are plain data in; answers that take time come back as events, batched.
 */

/** Unique for the life of the process; never reused. */
export type ConnectionId = number;
/** Names an open volume inside the data plane. */
export type VolumeId = number;
/** Names a command that was passed up, until it is answered. */
export type TaskId = number;

export interface DataPlaneOptions {
  /** Data threads, each with a ring. At least 1. */
  readonly threads: number;
  /** Bound of all data buffers, octets. */
  readonly memoryBytes: number;
  /** A data thread whose waits have lately been shorter than this (40) spins through them; 0: it always sleeps. */
  readonly spinMicroseconds?: number;
  /** A session that says nothing for this long (15 s) is pinged; one that is silent for so long after it (70 s) has vanished. For tests. */
  readonly pingAfterMilliseconds?: number;
  readonly pingAnswerMilliseconds?: number;
  /** Called on the JavaScript thread with everything that happened since the last call, in order. Must not throw. */
  readonly onEvents: (events: readonly DataPlaneEvent[]) => void;
}

/** What the kernel offers; `missing` says in a person's words what does without. */
export interface RingCapabilities {
  readonly kernel: string;
  readonly features: readonly string[];
  readonly missing: readonly string[];
}

export interface VolumeSpec {
  readonly path: string;
  /** 0: as large as the file is. */
  readonly sizeBytes: number;
  readonly blockSize: 512 | 4096;
  readonly readOnly: boolean;
  /** WCE=1: a write is acknowledged when the page cache has it. Otherwise every write is followed by fdatasync. */
  readonly writeCache: boolean;
  /** UNMAP punches holes. */
  readonly thin: boolean;
  /**
   * Immutable files that may hold some of the same blocks, the deepest ancestor first (at most eight count). What is physically
   * theirs, and was not written since, is read through their pages, which all clones of one disk have in common.
   */
  readonly origins?: readonly string[];
}

/** What can change of an open volume. */
export interface VolumeChange {
  /** The file has grown. */
  readonly sizeBytes?: number;
  /** What was opened read-only stays so. */
  readonly readOnly?: boolean;
  /** WCE; false also flushes what is cached. */
  readonly writeCache?: boolean;
  /** D_SENSE: the format of the sense data that the data plane composes. */
  readonly descriptorSense?: boolean;
  /** Why the medium cannot be used: commands that need it get this sense; null: it can. `progress` is from 0 to 1. */
  readonly notReady?: { readonly key: number; readonly asc: number; readonly ascq: number; readonly progress?: number } | null;
}

/** What {@link DataPlane.workRange} may be given at once, octets. */
export const RANGE_WORK_BYTES: number = 64 * 1024 * 1024;

/**
 * A range of a volume, and what becomes of it: a copy of a source, a pattern (repeated, and counted from the volume's first
 * octet), or else zeroes, whose storage a thin volume gives back. Octets.
 */
export type RangeWork = { readonly offset: number; readonly length: number } & (
  | { readonly source: VolumeId; readonly sourceOffset: number }
  | { readonly pattern?: Uint8Array }
);

/**
 * Whom a reservation keeps from what (SPC-4, 5.13): all connections but the exempt ones get RESERVATION CONFLICT for
 * commands that write; for those that touch the medium; or for all but those that nothing can be in the way of.
 */
export interface VolumeAccess {
  readonly denied: "nothing" | "writes" | "medium" | "unit";
  readonly exempt: readonly ConnectionId[];
}

/** Who is told: these, everybody but one, or everybody. */
export type Audience = { readonly only: readonly ConnectionId[] } | { readonly except?: ConnectionId };

export interface LunMapping {
  readonly lun: number;
  readonly volume: VolumeId;
  readonly readOnly: boolean;
}

/** What login negotiated (RFC 7143, 13), handed over once. Lengths are octets. */
export interface SessionParameters {
  readonly discovery: boolean;
  /** The initiator's MaxRecvDataSegmentLength: the longest data segment that we may send. */
  readonly maxSendDataSegmentLength: number;
  /** Ours: the longest data segment that we accept. */
  readonly maxRecvDataSegmentLength: number;
  readonly maxBurstLength: number;
  readonly firstBurstLength: number;
  readonly maxOutstandingR2T: number;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  /** The StatSN of the next response, and the CmdSN that the first command will carry. */
  readonly statSN: number;
  readonly expCmdSN: number;
}

/** Why a connection ended, in one word that metrics can count. */
export type CloseReason =
  | "peer-closed"
  | "logout"
  | "dropped"
  | "io-error"
  | "protocol-error"
  | "digest-error"
  | "login-timeout"
  | "keepalive"
  | "shutdown";

export type DataPlaneEvent =
  | {
      readonly type: "accepted";
      readonly connection: ConnectionId;
      readonly portal: number;
      readonly peerAddress: string;
      readonly peerPort: number;
      readonly localAddress: string;
      readonly localPort: number;
    }
  /** A PDU that is not the data plane's to answer: every PDU before the full-feature phase, Text requests in it. */
  | { readonly type: "pdu"; readonly connection: ConnectionId; readonly header: Uint8Array; readonly data: Uint8Array }
  /** A SCSI command off the hot path, with its whole data-out. `volume` is undefined for a LUN that the session lacks. */
  | {
      readonly type: "command";
      readonly connection: ConnectionId;
      readonly task: TaskId;
      readonly lun: number;
      readonly volume: VolumeId | undefined;
      readonly cdb: Uint8Array;
      readonly dataOut: Uint8Array;
      readonly expectedDataLength: number;
    }
  /** The first READ of this connection was answered. */
  | { readonly type: "first-read"; readonly connection: ConnectionId; readonly lun: number }
  /** Always the last event of a connection; nothing of it is in flight any more, not even a write. */
  | { readonly type: "closed"; readonly connection: ConnectionId; readonly reason: CloseReason; readonly detail: string }
  /** The volume is offline: a flush failed or its file is gone. It stays so until it is opened anew. */
  | { readonly type: "volume-failed"; readonly volume: VolumeId; readonly reason: string }
  | { readonly type: "volume-full"; readonly volume: VolumeId }
  /** A LOGICAL UNIT RESET or a target reset (SAM-5, 6.3.3) began; its tasks and unit attentions are seen to. */
  | { readonly type: "volume-reset"; readonly connection: ConnectionId; readonly volume: VolumeId }
  /** It is known, and in force, which octets are read through the volume's origins. Once after it was opened, if there are any. */
  | { readonly type: "volume-mapped"; readonly volume: VolumeId; readonly sharedBytes: number; readonly elapsedMs: number }
  | { readonly type: "task-management"; readonly connection: ConnectionId; readonly function: number; readonly response: number };

/** The answer to a `command` event. `sense` is sense data without the two-octet length; `data` is cut to what was asked for. */
export interface CommandResult {
  /** SAM-5, 5.3.1: 0x00 GOOD, 0x02 CHECK CONDITION, 0x08 BUSY, 0x18 RESERVATION CONFLICT. */
  readonly status: number;
  readonly data?: Uint8Array;
  readonly sense?: Uint8Array;
}

/** Where the buckets of a {@link Latency} end, seconds; the last bucket has no end. The same as in storage/io-stats.h. */
export const LATENCY_SECONDS: readonly number[] = Array.from({ length: 17 }, (_, bucket) => (32 * 2 ** bucket) / 1e6);

/** From the arrival of commands to their answers. */
export interface Latency {
  /** Commands in each bucket (not cumulated), one more than {@link LATENCY_SECONDS} has. */
  readonly buckets: readonly number[];
  readonly totalSeconds: number;
}

/** What commands did that were answered with GOOD; latencies are there where there was one. */
export interface IoCounters {
  readonly readOps: number;
  readonly readBytes: number;
  /** Of what was read: through the pages of an origin. */
  readonly borrowedBytes: number;
  readonly writeOps: number;
  readonly writeBytes: number;
  readonly flushOps: number;
  readonly errors: number;
  /** Those of them that were READs. */
  readonly readErrors: number;
  /** Commands that have begun and are not answered. */
  readonly queueDepth: number;
  readonly readLatency?: Latency;
  readonly writeLatency?: Latency;
  readonly flushLatency?: Latency;
}

export interface VolumeCounters extends IoCounters {
  readonly volume: VolumeId;
}

/** Of all sessions that were given this account, also of those that are gone. */
export interface AccountCounters extends IoCounters {
  readonly account: string;
}

/** Of all threads' io_urings. */
export interface RingCounters {
  readonly entries: number;
  readonly completions: number;
  /** Waits that a short spin ended, and those that slept. */
  readonly spins: number;
  readonly sleeps: number;
}

export interface DataPlaneCounters {
  readonly connections: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly commandsPassedUp: number;
  readonly protocolErrors: number;
  readonly bufferBytes: number;
  /** Payload octets that user space copied: the number that says whether the path is zero-copy. */
  readonly payloadBytesCopied: number;
  readonly ring: RingCounters;
  readonly volumes: readonly VolumeCounters[];
  readonly accounts: readonly AccountCounters[];
}

/** Errors that the system gave carry its `code` (EADDRINUSE, EACCES, ENOENT, ...) and a message with the next step. */
export interface DataPlane {
  readonly capabilities: RingCapabilities;

  /** Opens a portal; port 0 lets the system choose. `portal` comes back in `accepted` events. Returns the port. Throws. */
  listen(portal: number, address: string, port: number): number;
  /** Stops accepting on a portal; its connections go on. */
  unlisten(portal: number): void;

  /** Throws if the file cannot be opened as the spec says. */
  openVolume(spec: VolumeSpec): VolumeId;
  /** Resolves when nothing in flight uses the file any more; commands after the call get LOGICAL UNIT NOT SUPPORTED. */
  closeVolume(volume: VolumeId): Promise<void>;
  /** In force on every thread when the promise resolves. */
  updateVolume(volume: VolumeId, change: VolumeChange): Promise<void>;
  /** Every thread goes by it when the promise resolves; commands that had begun by then go on. */
  setAccess(volume: VolumeId, access: VolumeAccess): Promise<void>;
  /** Fills or copies a range; what sessions do there meanwhile is neither held back nor looked at. Rejects with the system's `code`. */
  workRange(volume: VolumeId, work: RangeWork): Promise<void>;
  /** Rejects where what was written may not have reached the disk; the volume is offline then. */
  flush(volume: VolumeId): Promise<void>;
  /** Aborts what these connections have under way on a volume; resolves when nothing of it is in flight. */
  abortTasks(volume: VolumeId, connections: readonly ConnectionId[]): Promise<void>;
  /** Holds new commands of a volume back and resolves when those in flight are done and flushed; {@link thaw} lets them go. */
  freeze(volume: VolumeId): Promise<void>;
  thaw(volume: VolumeId): void;
  /** A file that was named as an origin is about to be deleted: volumes read their own instead, and nothing keeps its storage. */
  withdrawOrigin(path: string): void;

  /** Before the full-feature phase: sends a whole PDU (header with AHS, and data without padding) as it is. */
  sendLoginPdu(connection: ConnectionId, header: Uint8Array, data: Uint8Array): void;
  /**
   * Sends the last login response and enters the full-feature phase in one step, so that no command can come between.
   * `account` names whose commands they are, in the counters.
   */
  enterFullFeature(
    connection: ConnectionId,
    header: Uint8Array,
    data: Uint8Array,
    session: SessionParameters,
    luns: readonly LunMapping[],
    account: string,
  ): void;
  /** Replaces what the session sees. */
  setLuns(connection: ConnectionId, luns: readonly LunMapping[]): void;
  /** In the full-feature phase: sends a response PDU; StatSN, ExpCmdSN and MaxCmdSN (octets 24 to 35) are filled in. */
  sendPdu(connection: ConnectionId, header: Uint8Array, data: Uint8Array): void;
  /** Answers a `command` event, exactly once. An answer to a task that was aborted meanwhile is dropped. */
  completeCommand(connection: ConnectionId, task: TaskId, result: CommandResult): void;
  /** Every session that sees the volume reports it once (SAM-5, 5.14). `only` with nobody in it is not to be asked for. */
  raiseUnitAttention(volume: VolumeId, asc: number, ascq: number, audience?: Audience): void;
  /** Ends a connection; `closed` follows when its last write is done. Unknown connections are ignored. */
  drop(connection: ConnectionId, detail: string): void;

  counters(): DataPlaneCounters;
  /** Ends every connection (what was received is finished first) and every thread. */
  close(): Promise<void>;
}

/** Throws an error with the next step where the kernel's io_uring cannot carry it. */
export function openDataPlane(options: DataPlaneOptions): DataPlane {
  return loadAddon<Exports>().openDataPlane(options);
}
