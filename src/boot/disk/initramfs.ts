import { Pull } from "../../wire/pull.ts";
import { type CpioEntry, isCpio, readCpio } from "./cpio.ts";

/**
 * What an initramfs can do: which kernel modules and which modules of dracut are in it. It is a row of cpio archives, each
 * compressed in its own way or not at all, with zeros between them; the first is mostly microcode (linux/init/initramfs.c).
 */
export interface InitramfsContents {
  /** Of `lib/modules`. */
  readonly kernelVersion?: string;
  /** With underscores, as modprobe names them; those built into the kernel too. */
  readonly kernelModules: ReadonlySet<string>;
  /** As dracut lists them; absent where something else made it. */
  readonly dracutModules?: ReadonlySet<string>;
  /** Of the modules in it. */
  readonly aliases: readonly Alias[];
  /** Of its archives, in order. */
  readonly compressions: readonly (Compression | "none")[];
}

/** `pci:v00008086d0000100Esv*...` -> module, a line of modules.alias (depmod(8)). */
export type Alias = readonly [pattern: string, module: string];

export type Compression = "gzip" | "zstd" | "xz" | "lzma" | "bzip2" | "lz4" | "lzo";

/** The kernel's own table (linux/lib/decompress.c), and lz4's frames as its tool writes them by default. */
const MAGIC: readonly (readonly [Compression, string])[] = [
  ["gzip", "1f8b"],
  ["zstd", "28b52ffd"],
  ["xz", "fd377a585a00"],
  ["lzma", "5d0000"],
  ["bzip2", "425a68"],
  ["lz4", "02214c18"],
  ["lz4", "04224d18"],
  ["lzo", "894c5a4f000d0a1a"],
];

/** What a hostile disk may make of a few octets. The largest initramfs that we have seen unpacks to a quarter of it. */
const MAX_UNPACKED_BYTES = 1024 ** 3;
const MAX_ENTRIES = 200_000;
const MAX_MODULES = 20_000;
const MAX_LIST_BYTES = 8 * 1024 * 1024;
const MAX_ARCHIVES = 16;
/** One inside another: a compressed row of compressed archives is nobody's initramfs. */
const MAX_DEPTH = 2;

export class InitramfsError extends Error {
  readonly code = "ERR_INITRAMFS";
}

/** Octets as they were before they were compressed; throws where it cannot. */
export type Unpack = (compression: Compression, packed: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;

/** `files` are laid over each other, in order. Throws {@link InitramfsError}, CpioError, or what `files` and `unpack` throw. */
export async function examineInitramfs(files: readonly AsyncIterable<Uint8Array>[], unpack: Unpack): Promise<InitramfsContents> {
  const findings = new Findings();
  for (const file of files) await examine(file, unpack, findings, 0);
  if (findings.compressions.length === 0) throw new InitramfsError("there is no archive in it");
  return findings;
}

async function examine(octets: AsyncIterable<Uint8Array>, unpack: Unpack, findings: Findings, depth: number): Promise<void> {
  const pull = new Pull(counted(octets));
  let complete = 0;
  try {
    for (;;) {
      let start: Uint8Array;
      try {
        await skipZeros(pull);
        start = await pull.peek(8);
      } catch (cause) {
        // Padding behind compressed octets is junk to who unpacks them; the kernel does not mind it either.
        if (depth > 0 && complete > 0) return;
        throw cause;
      }
      if (start.length === 0) return;
      if (findings.compressions.length >= MAX_ARCHIVES) throw new InitramfsError(`more than ${MAX_ARCHIVES} archives`);
      if (isCpio(start)) {
        if (depth === 0) findings.compressions.push("none");
        await readCpio(pull, wanted, (entry, contents) => findings.add(entry, contents));
        complete++;
        continue;
      }
      const compression = compressionOf(start);
      if (compression === undefined || depth >= MAX_DEPTH)
        throw new InitramfsError("something that is no archive, and not compressed as one");
      findings.compressions.push(compression);
      // Whatever follows the compressed octets is up to who unpacks them: the tools take several streams in a row for one.
      await examine(unpack(compression, pull.rest()), unpack, findings, depth + 1);
      return;
    }
  } finally {
    await pull.close();
  }
}

export function compressionOf(start: Uint8Array): Compression | undefined {
  const hex = Buffer.from(start).toString("hex");
  return MAGIC.find(([, magic]) => hex.startsWith(magic))?.[0];
}

async function skipZeros(pull: Pull): Promise<void> {
  for (;;) {
    const start = await pull.peek(4096);
    const length = start.findIndex((octet) => octet !== 0);
    await pull.skip(length < 0 ? start.length : length);
    if (length >= 0 || start.length === 0) return;
  }
}

async function* counted(octets: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const piece of octets) {
    total += piece.length;
    if (total > MAX_UNPACKED_BYTES) throw new InitramfsError(`more than ${MAX_UNPACKED_BYTES} octets`);
    yield piece;
  }
}

const DRACUT_LIST = /^(usr\/)?lib\/dracut\/modules\.txt$/;
const MODULE_LIST = /^(usr\/)?lib\/modules\/[^/]+\/modules\.(alias|builtin)$/;
const MODULE = /^(?:usr\/)?lib\/modules\/([^/]+)\/(?:.*\/)?([^/]+)\.ko(?:\.(?:gz|xz|zst))?$/;

function wanted({ name, isFile }: CpioEntry): number {
  return isFile && (DRACUT_LIST.test(name) || MODULE_LIST.test(name)) ? MAX_LIST_BYTES : 0;
}

class Findings implements InitramfsContents {
  kernelVersion?: string;
  readonly kernelModules = new Set<string>();
  dracutModules?: Set<string>;
  readonly aliases: Alias[] = [];
  readonly compressions: (Compression | "none")[] = [];
  #entries = 0;

  add(entry: CpioEntry, contents: Uint8Array): void {
    if (++this.#entries > MAX_ENTRIES) throw new InitramfsError(`more than ${MAX_ENTRIES} files`);
    const [, version, module] = MODULE.exec(entry.name) ?? [];
    if (version !== undefined && module !== undefined) {
      this.kernelVersion ??= version;
      this.#addModule(module);
    }
    if (contents.length === 0) return;
    const lines = Buffer.from(contents).toString("latin1").split("\n");
    if (DRACUT_LIST.test(entry.name)) {
      this.dracutModules = new Set(
        lines
          .slice(0, MAX_MODULES)
          .map((line) => line.trim())
          .filter((line) => line !== ""),
      );
    } else if (entry.name.endsWith(".builtin")) {
      for (const line of lines) this.#addModule(/([^/]+)\.ko$/.exec(line)?.[1] ?? "");
    } else {
      this.aliases.push(...aliasesOf(lines).slice(0, MAX_ENTRIES - this.aliases.length));
    }
  }

  #addModule(name: string): void {
    if (name !== "" && this.kernelModules.size < MAX_MODULES) this.kernelModules.add(moduleName(name));
  }
}

/** The lines of a modules.alias. */
export function aliasesOf(lines: readonly string[]): Alias[] {
  const aliases: Alias[] = [];
  for (const line of lines) {
    const [, pattern, name] = /^alias (\S+) (\S+)$/.exec(line) ?? [];
    if (pattern !== undefined && name !== undefined) aliases.push([pattern, moduleName(name)]);
  }
  return aliases;
}

/** modprobe takes dashes and underscores for the same. */
export function moduleName(name: string): string {
  return name.replaceAll("-", "_");
}
