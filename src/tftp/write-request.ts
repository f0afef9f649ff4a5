import type { Downloads } from "../boot/downloads.ts";
import type { FileClient } from "../boot/files.ts";
import type { Emit } from "../state/events.ts";
import { negotiate } from "./options.ts";
import { TFTP_ERROR, type WriteRequest } from "./packet.ts";
import { MAX_UPLOAD_BYTES } from "./receive.ts";
import type { Slot } from "./slots.ts";
import { Upload } from "./upload.ts";
import { openUpload, UploadRefused } from "./upload-file.ts";

export interface WriteRequestParts {
  readonly request: WriteRequest;
  readonly client: FileClient;
  readonly from: { readonly address: string; readonly port: number };
  readonly address: string;
  /** tftp.upload. */
  readonly folder: string | undefined;
  /** The largest that is agreed to. */
  readonly blksize: number;
  readonly slot: Slot;
  readonly release: () => void;
  readonly downloads: Downloads;
  readonly emit: Emit;
  readonly nowMs: () => number;
  readonly refuse: (code: number, message: string) => void;
  readonly onMalformed: (peer: string, reason: string) => void;
  readonly onStranger: (from: { readonly address: string; readonly port: number }) => void;
}

/** Takes a file, or refuses it with a reason. Never rejects. */
export async function serveWriteRequest(parts: WriteRequestParts): Promise<void> {
  const { request, client, downloads } = parts;
  try {
    await begin(parts);
  } catch (error) {
    const [code, message] =
      error instanceof UploadRefused ? [error.tftpCode, error.message] : [TFTP_ERROR.undefined, "the file cannot be written"];
    downloads.refused(client, request.filename, `an upload: ${error instanceof Error ? error.message : String(error)}`);
    parts.refuse(code, message);
  }
}

async function begin(parts: WriteRequestParts): Promise<void> {
  const { request, client, from, address, folder, slot, release, emit, nowMs, onMalformed, onStranger } = parts;
  if (folder === undefined) throw new UploadRefused(TFTP_ERROR.accessViolation, "this server takes no uploads");
  const mode = request.mode.toLowerCase();
  if (mode !== "octet" && mode !== "netascii")
    throw new UploadRefused(TFTP_ERROR.illegalOperation, "the modes here are octet and netascii");
  const told = Number(request.options.find(([name]) => name.toLowerCase() === "tsize")?.[1] ?? 0);
  const expectedBytes = Number.isSafeInteger(told) && told > 0 ? told : 0;
  if (expectedBytes > MAX_UPLOAD_BYTES) throw new UploadRefused(TFTP_ERROR.diskFull, `more than ${MAX_UPLOAD_BYTES} octets are not taken`);
  // In lock step: what machines write is small, and a window would have to be held until it is stored.
  const asked = request.options.filter(([name]) => name.toLowerCase() !== "windowsize");
  const options = negotiate(asked, { blksize: parts.blksize, windowsize: 1 }, expectedBytes);
  const file = await openUpload(folder, request.filename, expectedBytes);
  const begunMs = nowMs();
  const what = { address: client.address, path: request.filename, ...(client.machine !== undefined && { machine: client.machine.name }) };
  const upload = await Upload.start({
    address,
    peer: from,
    file,
    blksize: options.blksize,
    oack: options.oack,
    netascii: mode === "netascii",
    onProgress: () => {
      slot.begun = true;
    },
    onComplete: (sizeBytes) => emit({ type: "upload.finished", ...what, sizeBytes, elapsedMs: nowMs() - begunMs }),
    onFailed: (reason) => emit({ type: "upload.failed", ...what, reason }),
    onClosed: release,
    onMalformed,
    onStranger,
  }).catch(async (error: unknown) => {
    await file.discard();
    throw error;
  });
  slot.abort = (reason) => upload.abort(reason);
}
