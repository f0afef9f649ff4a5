import type { Pull } from "../../wire/pull.ts";

/**
 * Archives as the kernel unpacks them into its initramfs: cpio's "newc" format (linux/Documentation/driver-api/early-userspace/
 * buffer-format.rst):
 *
 *     "070701" or "070702", then 13 numbers of 8 hexadecimal digits: ino mode uid gid nlink mtime filesize
 *     devmajor devminor rdevmajor rdevminor namesize check; the name with its NUL, and the contents, each padded to 4 octets
 *
 * An archive ends with an entry named TRAILER!!!.
 */

const HEADER_BYTES = 110;
const TRAILER = "TRAILER!!!";
/** PATH_MAX of Linux. */
const MAX_NAME_BYTES = 4096;
/** S_IFMT and S_IFREG of stat(2). */
const FILE_TYPE = 0o170000;
const REGULAR_FILE = 0o100000;

export interface CpioEntry {
  /** Without a leading slash or dot. */
  readonly name: string;
  readonly isFile: boolean;
  readonly sizeBytes: number;
}

export class CpioError extends Error {
  readonly code = "ERR_CPIO";
}

/** Whether what comes next is an archive. */
export function isCpio(start: Uint8Array): boolean {
  return /^07070[12]$/.test(latin1(start.subarray(0, 6)));
}

/**
 * One archive from its first header to behind its trailer. `keep` says how many octets of an entry's contents are wanted;
 * `found` hears of every entry. Throws {@link CpioError}: nothing in it is believed, and nothing is kept but what `keep` asks for.
 */
export async function readCpio(
  pull: Pull,
  keep: (entry: CpioEntry) => number,
  found: (entry: CpioEntry, contents: Uint8Array) => void,
): Promise<void> {
  // Padding counts from where the archive begins: the kernel lets one begin at a multiple of 4 only.
  const origin = pull.takenBytes;
  const pad = async (): Promise<void> => {
    await pull.skip(-(pull.takenBytes - origin) & 3);
  };
  for (;;) {
    const header = latin1(await pull.take(HEADER_BYTES));
    if (header.length < HEADER_BYTES) throw new CpioError("the archive ends in the middle");
    if (!/^07070[12][0-9a-fA-F]{104}$/.test(header)) throw new CpioError("something that is no entry of an archive");
    const number = (index: number): number => Number.parseInt(header.slice(6 + 8 * index, 14 + 8 * index), 16);
    const nameBytes = number(11);
    if (nameBytes === 0 || nameBytes > MAX_NAME_BYTES) throw new CpioError(`a name of ${nameBytes} octets`);
    const name = latin1(await pull.take(nameBytes)).split("\0", 1)[0] ?? "";
    await pad();
    const entry: CpioEntry = {
      name: name.replace(/^(\.?\/)+/, ""),
      isFile: (number(1) & FILE_TYPE) === REGULAR_FILE,
      sizeBytes: number(6),
    };
    if (name === TRAILER) return;
    const contents = await pull.take(Math.min(entry.sizeBytes, keep(entry)));
    found(entry, contents);
    const skipped = await pull.skip(entry.sizeBytes - contents.length);
    if (contents.length + skipped < entry.sizeBytes) throw new CpioError("the archive ends in the middle");
    await pad();
  }
}

function latin1(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("latin1");
}
