import type { Ipv4 } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { FileRole, Transport } from "../state/events.ts";
import type { ByteSource } from "./open-files.ts";

/** Who asks for a file. `machine` is absent where the address belongs to no machine of ours. */
export interface FileClient {
  readonly address: Ipv4;
  readonly transport: Transport;
  readonly machine?: Machine;
}

/** What a client may read. `path` of a `file` is absolute, resolved, and already checked: servers open it as it stands. */
export type BootFile =
  | { readonly kind: "bytes"; readonly role: FileRole; readonly bytes: Uint8Array }
  | { readonly kind: "file"; readonly role: FileRole; readonly path: string; readonly sizeBytes: number }
  /** Inside a machine's disk. `open` rejects with a sentence for people; what it gives is to be released. */
  | { readonly kind: "disk"; readonly role: FileRole; readonly sizeBytes: number; readonly open: () => Promise<ByteSource> };

/** `reason` is for people and logs; the client is told no more than "not found". */
export interface NotFound {
  readonly kind: "not-found";
  readonly reason: string;
}

/** The one place that maps (machine, path) to octets, for TFTP and HTTP alike. Never throws for what a client asked. */
export interface BootFiles {
  resolve(client: FileClient, path: string): Promise<BootFile | NotFound>;
}
