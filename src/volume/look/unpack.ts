import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline, type Readable, Readable as ReadableFrom } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { LookError } from "./error.ts";
import { findReader } from "./reader.ts";
import { ReaderSlots } from "./slots.ts";

/** An initramfs with every driver and all firmware of a distribution is half of it. */
const MAX_PACKED_BYTES = 256 * 1024 * 1024;
const UNPACK_CPU_SECONDS = 30;
const UNPACK_MEMORY_BYTES = 256 * 1024 * 1024;
const UNPACK_TIMEOUT_MS = 60_000;
const MAX_COMPLAINT_BYTES = 1024;

/** One at a time: it is for people, and takes a processor for seconds. */
const SLOTS: ReaderSlots = new ReaderSlots(1);

/** Programs that unpack what Node cannot, and how they are told to write to their standard output. */
const PROGRAMS: Readonly<Record<string, readonly [program: string, ...words: string[]]>> = {
  xz: ["xz", "-dc"],
  lzma: ["xz", "-dc"],
  bzip2: ["bzip2", "-dc"],
  lz4: ["lz4", "-dc"],
};

/**
 * Compressed octets from inside a disk, unpacked as they are asked for. gzip and zstd are Node's own; for the others the usual
 * program runs confined as a reader of file systems does, and sees these octets and no other file. Throws {@link LookError}
 * `no-reader` where there is no program for it.
 */
export async function* unpack(compression: string, packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  if (compression === "gzip") yield* through(packed, createGunzip());
  else if (compression === "zstd") yield* through(packed, createZstdDecompress());
  else yield* confined(compression, packed);
}

async function* through(packed: AsyncIterable<Uint8Array>, decompressor: ReturnType<typeof createGunzip>): AsyncGenerator<Uint8Array> {
  const source = ReadableFrom.from(packed);
  // A failure of either is heard by whoever reads.
  pipeline(source, decompressor, () => undefined);
  try {
    yield* decompressor;
  } finally {
    decompressor.destroy();
    source.destroy();
  }
}

async function* confined(compression: string, packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const [name, ...words] = PROGRAMS[compression] ?? [];
  const program = ["/usr/bin", "/bin"].map((folder) => `${folder}/${name}`).find((path) => existsSync(path));
  if (name === undefined || program === undefined) {
    throw new LookError("no-reader", `it is compressed with ${compression}, and nothing here can unpack that`);
  }
  const { confine } = findReader();
  const release = await SLOTS.take();
  try {
    const file = await temporaryFile(packed);
    try {
      const limits = [String(UNPACK_CPU_SECONDS), String(UNPACK_MEMORY_BYTES)];
      yield* outputOf(confine, [...limits, program, ...words, "/disk"], file.fd);
    } finally {
      await file.close();
    }
  } finally {
    release();
  }
}

/** Without a name: it is gone when it is closed. */
async function temporaryFile(packed: AsyncIterable<Uint8Array>): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), "rackboot-unpack-"));
  const path = join(folder, "packed");
  try {
    const written = await open(path, "wx", 0o600);
    let total = 0;
    try {
      for await (const piece of packed) {
        total += piece.length;
        if (total > MAX_PACKED_BYTES) throw new LookError("too-large", `it is longer than ${MAX_PACKED_BYTES} octets`);
        await written.writeFile(piece);
      }
    } finally {
      await written.close();
    }
    return await open(path, "r");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* outputOf(confine: string, words: readonly string[], file: number): AsyncGenerator<Uint8Array> {
  const child = spawn(confine, words, { stdio: ["ignore", "pipe", "pipe", file, "pipe"], env: {}, cwd: "/" });
  const timer = setTimeout(() => child.kill("SIGKILL"), UNPACK_TIMEOUT_MS);
  let complaint = "";
  child.stderr?.on("data", (text: Buffer) => {
    complaint = (complaint + text.toString("latin1")).slice(0, MAX_COMPLAINT_BYTES);
  });
  // Which octets it has read matters to nobody.
  (child.stdio[4] as Readable | null)?.resume().on("error", () => undefined);
  const ended = new Promise<number>((resolve) => {
    child.once("error", () => resolve(-1));
    child.once("close", (code) => resolve(code ?? -1));
  });
  try {
    if (child.stdout !== null) yield* child.stdout as AsyncIterable<Uint8Array>;
    const code = await ended;
    if (code !== 0) throw new LookError("unreadable", `it cannot be unpacked: ${complaint.trim() || `exit code ${code}`}`);
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
    await ended;
  }
}
