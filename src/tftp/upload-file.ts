import { link, lstat, mkdir, open, realpath, statfs, unlink } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { normalPath } from "../boot/paths.ts";
import { TFTP_ERROR } from "./packet.ts";

/** Why a file is not taken: `tftpCode` and the message are the client's. */
export class UploadRefused extends Error {
  readonly code = "ERR_UPLOAD_REFUSED";
  readonly tftpCode: number;

  constructor(tftpCode: number, message: string) {
    super(message);
    this.tftpCode = tftpCode;
  }
}

/** A file that is being received: it has its name when it is whole, and never replaces another. */
export interface UploadFile {
  /** Appends. Rejects with what the system says. */
  write(octets: Uint8Array): Promise<void>;
  /** The file is on the disk under its name. Rejects with {@link UploadRefused} where somebody else took the name meanwhile. */
  complete(): Promise<void>;
  /** Nothing is left of it, unless it is complete. Never rejects. */
  discard(): Promise<void>;
}

/** What stays free for everything else on that file system. */
const FREE_SHARE = 0.05;
const FREE_BYTES = 1024 ** 3;

/**
 * Begins a file at `path` below `folder`. Folders below it are not made, links do not lead out of it, hidden names are not taken.
 * Rejects with {@link UploadRefused}.
 */
export async function openUpload(folder: string, path: string, expectedBytes: number): Promise<UploadFile> {
  const normal = normalPath(path);
  if ("reason" in normal) throw new UploadRefused(TFTP_ERROR.accessViolation, normal.reason);
  if (normal.segments.some((segment) => segment.startsWith(".")))
    throw new UploadRefused(TFTP_ERROR.accessViolation, "hidden names are not taken");
  await mkdir(folder, { recursive: true, mode: 0o750 });
  const root = await realpath(folder);
  const asked = join(root, ...normal.segments);
  const within = await realpath(dirname(asked)).catch(() => undefined);
  if (within === undefined || (within !== root && !within.startsWith(root + sep))) {
    throw new UploadRefused(TFTP_ERROR.accessViolation, "there is no such folder");
  }
  const name = join(within, basename(asked));
  if ((await lstat(name).catch(() => undefined)) !== undefined) throw new UploadRefused(TFTP_ERROR.fileExists, "the file is already there");
  const { bavail, blocks, bsize } = await statfs(within);
  if (bavail * bsize - expectedBytes < Math.min(blocks * bsize * FREE_SHARE, FREE_BYTES)) {
    throw new UploadRefused(TFTP_ERROR.diskFull, "there is no room");
  }
  const partial = join(within, `.${basename(asked)}.${process.pid}.${Date.now().toString(36)}.partial`);
  const handle = await open(partial, "wx", 0o640);
  let gone: Promise<void> | undefined;
  const discard = (): Promise<void> => {
    gone ??= handle
      .close()
      .then(() => unlink(partial))
      .catch(() => {});
    return gone;
  };
  return {
    write: async (octets) => {
      for (let written = 0; written < octets.length; ) written += (await handle.write(octets, written)).bytesWritten;
    },
    complete: async () => {
      await handle.datasync();
      // A link fails where the name is taken; a rename would replace what is there.
      await link(partial, name).catch((error: NodeJS.ErrnoException) => {
        throw error.code === "EEXIST" ? new UploadRefused(TFTP_ERROR.fileExists, "the file is already there") : error;
      });
      await discard();
    },
    discard,
  };
}
