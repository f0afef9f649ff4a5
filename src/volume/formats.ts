import { execFile, spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { VolumeError } from "./error.ts";
import { withFile } from "./files.ts";

/** Disk images that are not the disk itself, told by what they begin with; everything else is raw. */
interface ImageFormat {
  /** qemu-img's name for it. */
  readonly name: string;
  readonly magic: string;
  readonly offset: number;
}

/** Each format's own specification has its magic in its first paragraphs. */
const FORMATS: readonly ImageFormat[] = [
  { name: "qcow2", magic: "QFI\u00fb", offset: 0 },
  { name: "vmdk", magic: "KDMV", offset: 0 },
  { name: "vhdx", magic: "vhdxfile", offset: 0 },
  { name: "vpc", magic: "conectix", offset: 0 },
  { name: "vdi", magic: "\u007f\u0010\u00da\u00be", offset: 64 },
  { name: "qed", magic: "QED\u0000", offset: 0 },
  { name: "parallels", magic: "WithoutFreeSpace", offset: 0 },
  { name: "parallels", magic: "WithouFreSpacExt", offset: 0 },
];

/** How many octets tell the format. */
export const MAGIC_BYTES = 128;

/** Compressed files are refused: what is inside may have any size. */
const COMPRESSED: readonly (readonly [name: string, magic: string, program: string])[] = [
  ["gzip", "\u001f\u008b", "zcat"],
  ["xz", "\u00fd7zXZ", "xzcat"],
  ["zstd", "\u0028\u00b5\u002f\u00fd", "zstdcat"],
  ["bzip2", "BZh", "bzcat"],
];

/** `raw`, or qemu-img's name of what the octets are the beginning of. Throws {@link VolumeError} for what is compressed. */
export function formatOf(beginning: Uint8Array): string {
  const text = Buffer.from(beginning).toString("latin1");
  const compressed = COMPRESSED.find(([, magic]) => text.startsWith(magic));
  if (compressed !== undefined) {
    const [name, , program] = compressed;
    throw new VolumeError(`it is compressed with ${name}; decompress it on the way, as "${program} FILE | rackboot volume import - NAME"`);
  }
  return FORMATS.find(({ magic, offset }) => text.startsWith(magic, offset))?.name ?? "raw";
}

export async function formatOfFile(path: string): Promise<string> {
  const beginning = Buffer.alloc(MAGIC_BYTES);
  const { bytesRead } = await withFile(path, "r", (file) => file.read(beginning, 0, MAGIC_BYTES, 0));
  return formatOf(beginning.subarray(0, bytesRead));
}

export interface ImageFacts {
  readonly virtualBytes: number;
  /** What the image itself takes: about what the volume will take. */
  readonly dataBytes: number;
}

/** Where qemu-img is; undefined where it is not installed. */
async function findQemuImg(): Promise<string | undefined> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, "qemu-img");
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (folder !== "" && found) return path;
  }
  return undefined;
}

/** An image of a format that only qemu-img reads. Throws {@link VolumeError}. */
export async function needQemuImg(format: string): Promise<string> {
  const path = await findQemuImg();
  if (path === undefined) {
    throw new VolumeError(
      `it is a ${format} image, and qemu-img, which reads those, is not installed; install it, or convert the image to raw elsewhere`,
    );
  }
  return path;
}

/**
 * What an image says of itself. One that leans on other files is refused: they could be anything that the daemon may read.
 */
export async function inspectImage(qemuImg: string, format: string, path: string): Promise<ImageFacts> {
  const text = await new Promise<string>((resolve, reject) => {
    execFile(qemuImg, ["info", "--output=json", "-f", format, path], { timeout: 30_000, maxBuffer: 4 * 1024 * 1024 }, (error, out, err) => {
      if (error === null) resolve(out);
      else reject(new VolumeError(`qemu-img cannot read it: ${firstLine(err) || error.message}; check the image`));
    });
  });
  const facts = JSON.parse(text) as Readonly<Record<string, unknown>> & {
    readonly "virtual-size": number;
    readonly "actual-size"?: number;
  };
  const data = (facts["format-specific"] as { readonly data?: Readonly<Record<string, unknown>> } | undefined)?.data;
  if (facts["backing-filename"] !== undefined || data?.["data-file"] !== undefined) {
    throw new VolumeError(`it needs another file beside it; make it whole first, as "qemu-img convert -O qcow2 IMAGE WHOLE"`);
  }
  if (facts["encrypted"] === true) throw new VolumeError("it is encrypted; decrypt it first");
  return { virtualBytes: facts["virtual-size"], dataBytes: facts["actual-size"] ?? facts["virtual-size"] };
}

export interface ConvertOptions {
  readonly signal?: AbortSignal;
  /** From 0 to 1. */
  readonly onProgress?: (done: number) => void;
}

/** Writes the image's disk as a sparse raw file. `to` exists and has its size. Throws {@link VolumeError}. */
export async function convertImage(qemuImg: string, format: string, from: string, to: string, options: ConvertOptions): Promise<void> {
  const child = spawn(qemuImg, ["convert", "-p", "-n", "--target-is-zero", "-f", format, "-O", "raw", from, to], {
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.signal !== undefined && { signal: options.signal }),
  });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    complaint = (complaint + chunk).slice(0, 4096);
  });
  // Progress is rewritten in place: "    (12.34/100%)\r".
  const lines = createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY });
  lines.on("line", (line) => {
    const percent = /\(([0-9.]+)\/100%\)/.exec(line)?.[1];
    if (percent !== undefined) options.onProgress?.(Number(percent) / 100);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code === 0) return;
  const why = /No space left/.test(complaint)
    ? "the pool has no room left; delete what nobody needs"
    : `${firstLine(complaint)}; check the image`;
  throw new VolumeError(`qemu-img gave up: ${why}`);
}

function firstLine(text: string): string {
  return (
    text
      .trim()
      .split("\n")[0]
      ?.replace(/^qemu-img: /, "") ?? ""
  );
}
