import { loadAddon } from "./addon.ts";

/** What the addon exports for this door. */
interface Exports {
  readonly FileSender: new (onEvents: (events: readonly NativeEvent[]) => void) => NativeSender;
}
interface NativeSender {
  tftp(delivery: TftpDelivery): number;
  stream(delivery: StreamDelivery): number;
  abort(delivery: number, reason: string): void;
  close(): void;
}
interface NativeEvent {
  readonly kind: "began" | "progressed" | "finished" | "probed" | "failed" | "malformed";
  readonly delivery: number;
  readonly sentBytes: number;
  readonly reason: string;
  readonly peer: string;
}

/**
 * A thread that sends files without JavaScript: TFTP downloads by the rules of src/tftp/transfer.ts, and the bodies of HTTP
 * answers. Files are given as open descriptors, which the sender duplicates: the caller may close its own at any time.
 */

/** One TFTP download, from its OACK (or first block) to its last ACK, from a port of its own. */
export interface TftpDelivery {
  readonly address: string;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly file: number;
  readonly offsetBytes: number;
  readonly plan: { readonly sizeBytes: number; readonly blksize: number; readonly windowsize: number; readonly maxWaitMs: number };
  /** The whole packet; absent where no option was agreed on. */
  readonly oack?: Uint8Array;
}

/** Octets of a file into a connected TCP socket, into which nobody else writes meanwhile. */
export interface StreamDelivery {
  readonly socket: number;
  readonly file: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Given up when the peer takes nothing for this long. */
  readonly idleMs: number;
}

export type DeliveryEvent =
  /** The client has agreed, and the first octets leave: a download, and no probe. TFTP only. */
  | { readonly kind: "began" }
  /** At most every 250 ms. */
  | { readonly kind: "progressed"; readonly sentBytes: number }
  | { readonly kind: "finished" }
  /** The client wanted the options and no data. TFTP only. */
  | { readonly kind: "probed" }
  | { readonly kind: "failed"; readonly sentBytes: number; readonly reason: string }
  /** Somebody (`address:port`) sent what does not belong here. */
  | { readonly kind: "malformed"; readonly peer: string; readonly reason: string };

/** Called on the JavaScript thread, in order. `finished`, `probed` and `failed` are the last of a delivery. Must not throw. */
export type DeliveryHandler = (event: DeliveryEvent) => void;

const LAST: ReadonlySet<string> = new Set(["finished", "probed", "failed"]);

export class FileSender {
  readonly #native: NativeSender;
  readonly #handlers = new Map<number, DeliveryHandler>();

  /** Throws with the system's `code` where there is no thread to be had, or AddonMissingError. */
  constructor() {
    const { FileSender: Native } = loadAddon<Exports>();
    this.#native = new Native((events) => {
      for (const event of events) this.#handle(event);
    });
  }

  /** Throws with the system's `code`. What it returns breaks the download off and tells the client why; no event follows then. */
  tftp(delivery: TftpDelivery, handler: DeliveryHandler): (reason: string) => void {
    return this.#started(this.#native.tftp(delivery), handler);
  }

  /** Throws with the system's `code`. What it returns stops sending; no event follows then. */
  stream(delivery: StreamDelivery, handler: DeliveryHandler): (reason: string) => void {
    return this.#started(this.#native.stream(delivery), handler);
  }

  /** Whatever is under way ends where it is. */
  close(): void {
    this.#native.close();
    this.#handlers.clear();
  }

  #started(id: number, handler: DeliveryHandler): (reason: string) => void {
    this.#handlers.set(id, handler);
    return (reason) => {
      if (this.#handlers.delete(id)) this.#native.abort(id, reason);
    };
  }

  #handle(event: NativeEvent): void {
    const handler = this.#handlers.get(event.delivery);
    if (LAST.has(event.kind)) this.#handlers.delete(event.delivery);
    handler?.(event);
  }
}
