import type { ByteSource } from "../boot/open-files.ts";
import type { FileSender } from "../native/file-sender.ts";
import { decodePacket, encodePacket, type TftpOption } from "./packet.ts";
import { type Outcome, Session } from "./session.ts";
import { openEndpoint } from "./sockets.ts";
import type { TransferPlan } from "./transfer.ts";

/** Smaller downloads are over before a thread of their own would pay. */
const NATIVE_BYTES = 64 * 1024;

/** Where packets come from, as `dgram` tells it. */
export interface Peer {
  readonly address: string;
  readonly port: number;
}

export interface DownloadParts {
  readonly address: string;
  readonly peer: Peer;
  readonly plan: TransferPlan;
  readonly oack: readonly TftpOption[];
  /** Taken over: released when the download ends, and where it cannot begin. */
  readonly source: ByteSource;
  readonly sender: FileSender | undefined;
  readonly nowMs: () => number;
  /** The first octets are about to leave: from now on this is a download and no probe. */
  readonly onBegin: () => void;
  readonly onProgress: (ackedBytes: number) => void;
  /** Called once, whatever happens. */
  readonly onEnd: (outcome: Outcome) => void;
  readonly onMalformed: (peer: string, reason: string) => void;
  readonly onStranger: (from: Peer) => void;
}

/**
 * Starts one download: in the native sender where it is large and lies in a file, by {@link Session} otherwise. Returns what
 * breaks it off. Rejects where no socket is to be had.
 */
export async function startDownload(parts: DownloadParts): Promise<(reason: string) => void> {
  const { source, sender } = parts;
  try {
    if (sender !== undefined && source.stored !== undefined && source.sizeBytes >= NATIVE_BYTES)
      return startNative(parts, sender, source.stored);
    return await startSession(parts);
  } catch (error) {
    source.release();
    throw error;
  }
}

function startNative(
  parts: DownloadParts,
  sender: FileSender,
  stored: { readonly fd: number; readonly offsetBytes: number },
): (reason: string) => void {
  const { address, peer, plan, oack, source } = parts;
  const end = (outcome: Outcome): void => {
    source.release();
    parts.onEnd(outcome);
  };
  const delivery = {
    address,
    peerAddress: peer.address,
    peerPort: peer.port,
    file: stored.fd,
    offsetBytes: stored.offsetBytes,
    plan,
    ...(oack.length > 0 && { oack: encodePacket({ kind: "oack", options: oack }) }),
  };
  const abort = sender.tftp(delivery, (event) => {
    switch (event.kind) {
      case "began":
        return parts.onBegin();
      case "progressed":
        return parts.onProgress(event.sentBytes);
      case "malformed":
        return parts.onMalformed(event.peer, event.reason);
      case "failed":
        return end({ kind: "failed", reason: event.reason });
      default:
        return end({ kind: event.kind });
    }
  });
  return (reason) => {
    abort(reason);
    end({ kind: "failed", reason });
  };
}

async function startSession(parts: DownloadParts): Promise<(reason: string) => void> {
  const { address, peer, plan, oack, source, nowMs, onBegin, onProgress, onEnd } = parts;
  const name = `${peer.address}:${peer.port}`;
  let session: Session | undefined;
  const endpoint = await openEndpoint({
    address,
    peer,
    onStranger: parts.onStranger,
    onPacket: (bytes) => {
      try {
        const packet = decodePacket(bytes);
        if (packet.kind === "ack" || packet.kind === "error") session?.input(packet);
        else parts.onMalformed(name, `${packet.kind} packet in a download`);
      } catch (error) {
        parts.onMalformed(name, error instanceof Error ? error.message : String(error));
      }
    },
  });
  const started = new Session({ plan, oack, source, endpoint, nowMs, onBegin, onProgress, onEnd });
  session = started;
  return (reason) => started.abort(reason);
}
