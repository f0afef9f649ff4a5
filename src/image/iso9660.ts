import { ImageError } from "./error.ts";
import { directoryRecords, type IsoRecord } from "./iso-directory.ts";

/** Reads exactly `length` octets at `offset`; rejects where there are fewer. */
export type ReadAt = (offset: number, length: number) => Promise<Uint8Array>;

/** One piece of a file, in octets of the image. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

export type IsoEntry =
  | { readonly kind: "file"; readonly sizeBytes: number; readonly extents: readonly Extent[] }
  | { readonly kind: "link"; readonly target: string };

/** Everything on the image that is no folder, by its path: `images/pxeboot/vmlinuz`. */
export type IsoIndex = ReadonlyMap<string, IsoEntry>;

/** ECMA-119, 6.1.2: a logical sector; volume descriptors begin at the seventeenth (6.2.1). */
export const SECTOR_BYTES = 2048;
const FIRST_DESCRIPTOR = 16;
const MAX_DESCRIPTORS = 32;
/** A DVD of RHEL has some ten thousand files, and its largest folder has a record of a megabyte. */
const MAX_ENTRIES = 400_000;
const MAX_DIRECTORY_BYTES = 64 * 1024 * 1024;
const MAX_DIRECTORIES_BYTES = 256 * 1024 * 1024;
const MAX_DEPTH = 32;

interface Descriptor {
  readonly root: IsoRecord;
  /** Names are UCS-2 (Joliet). */
  readonly joliet: boolean;
}

/**
 * Reads the directories of an ISO 9660 image (ECMA-119): with Rock Ridge (IEEE P1282) where it has that, else by the names of
 * Joliet, else by its own in lower case. Files of several extents, which is what those over 4 GiB are, come out whole. What
 * lies outside of the image, and whatever makes no sense, is refused: throws {@link ImageError}.
 */
export async function readIso(read: ReadAt, sizeBytes: number): Promise<IsoIndex> {
  const { primary, joliet } = await descriptors(read, sizeBytes);
  const [self] = directoryRecords(await directory(read, primary.root, sizeBytes), false, 0);
  const rockRidge = self?.systemUse.rockRidge;
  const root = rockRidge === undefined ? (joliet ?? primary) : primary;
  return await new Walk(read, sizeBytes, root.joliet, rockRidge).index(root.root);
}

async function descriptors(read: ReadAt, sizeBytes: number): Promise<{ readonly primary: Descriptor; readonly joliet?: Descriptor }> {
  let primary: Descriptor | undefined;
  let joliet: Descriptor | undefined;
  for (let at = 0; at < MAX_DESCRIPTORS; at++) {
    const offset = (FIRST_DESCRIPTOR + at) * SECTOR_BYTES;
    if (offset + SECTOR_BYTES > sizeBytes) break;
    const sector = await read(offset, SECTOR_BYTES);
    // 8.1: type, then the standard's identifier.
    if (Buffer.from(sector.subarray(1, 6)).toString("latin1") !== "CD001") break;
    const type = sector[0];
    if (type === 255) break;
    if (type === 1) primary ??= { root: rootOf(sector), joliet: false };
    // Joliet: the escape sequences of UCS-2 levels 1 to 3.
    if (type === 2 && /^%\/[@CE]/.test(Buffer.from(sector.subarray(88, 91)).toString("latin1"))) {
      joliet ??= { root: rootOf(sector), joliet: true };
    }
  }
  if (primary === undefined)
    throw new ImageError("it is no ISO 9660 image: name the medium's .iso file, or the folder that it is unpacked in");
  return { primary, ...(joliet === undefined ? {} : { joliet }) };
}

function rootOf(descriptor: Uint8Array): IsoRecord {
  // 8.4.12: little-endian first, then the same big-endian.
  const blockBytes = (descriptor[128] ?? 0) | ((descriptor[129] ?? 0) << 8);
  if (blockBytes !== SECTOR_BYTES) throw new ImageError(`its blocks have ${blockBytes} octets, and only those of ${SECTOR_BYTES} are read`);
  const [root] = directoryRecords(descriptor.subarray(156, 190), false, 0);
  if (root === undefined) throw new ImageError("its root directory has no record");
  return root;
}

async function directory(read: ReadAt, record: IsoRecord, imageBytes: number): Promise<Uint8Array> {
  const { offset, length } = record.extent;
  if (length > MAX_DIRECTORY_BYTES)
    throw new ImageError(`one of its folders takes ${length} octets; at most ${MAX_DIRECTORY_BYTES} are read`);
  if (offset + length > imageBytes) throw new ImageError("it ends before its folders do: it was cut short; copy it anew");
  return await read(offset, length);
}

/** One pass over the tree of folders. */
class Walk {
  readonly #read: ReadAt;
  readonly #sizeBytes: number;
  readonly #joliet: boolean;
  readonly #rockRidge: number | undefined;
  readonly #found = new Map<string, IsoEntry>();
  /** By where they lie: a folder inside of itself would have no end. */
  readonly #seen = new Set<number>();
  #directoryBytes = 0;

  constructor(read: ReadAt, sizeBytes: number, joliet: boolean, rockRidge: number | undefined) {
    this.#read = read;
    this.#sizeBytes = sizeBytes;
    this.#joliet = joliet;
    this.#rockRidge = rockRidge;
  }

  async index(root: IsoRecord): Promise<IsoIndex> {
    await this.#folder(root, "", 0);
    return this.#found;
  }

  async #folder(record: IsoRecord, path: string, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) throw new ImageError(`its folders are nested more than ${MAX_DEPTH} deep`);
    if (this.#seen.has(record.extent.offset)) throw new ImageError(`its folder ${path} lies inside of itself`);
    this.#seen.add(record.extent.offset);
    this.#directoryBytes += record.extent.length;
    if (this.#directoryBytes > MAX_DIRECTORIES_BYTES) throw new ImageError(`its folders take more than ${MAX_DIRECTORIES_BYTES} octets`);
    const octets = await directory(this.#read, record, this.#sizeBytes);
    let parts: Extent[] = [];
    for (const each of directoryRecords(octets, this.#joliet, this.#rockRidge)) {
      if (each.special) continue;
      const use = await this.#continued(each);
      if (use.relocated) continue;
      const name = use.name ?? each.name;
      if (name === "" || name === "." || name === ".." || /[/\0]/.test(name))
        throw new ImageError(`it has a file called ${JSON.stringify(name)}`);
      const where = path === "" ? name : `${path}/${name}`;
      if (use.link !== undefined) this.#add(where, { kind: "link", target: use.link });
      else if (use.childOffset !== undefined) await this.#folder(await this.#relocated(use.childOffset), where, depth + 1);
      else if (each.isFolder) await this.#folder(each, where, depth + 1);
      else {
        if (use.compressed) throw new ImageError(`its file ${where} is compressed (zisofs), which is not read`);
        if (each.interleaved) throw new ImageError(`its file ${where} is interleaved, which is not read`);
        // 9.1.6: all but the last part of a file say that another follows; an empty file may say that it lies anywhere.
        if (each.extent.length > 0) parts.push(each.extent);
        if (each.moreFollows) continue;
        this.#add(where, this.#file(where, parts));
        parts = [];
      }
    }
  }

  #file(path: string, extents: readonly Extent[]): IsoEntry {
    if (extents.some(({ offset, length }) => offset + length > this.#sizeBytes)) {
      throw new ImageError(`it ends before its file ${path} does: it was cut short; copy it anew`);
    }
    return { kind: "file", sizeBytes: extents.reduce((sum, { length }) => sum + length, 0), extents };
  }

  #add(path: string, entry: IsoEntry): void {
    if (this.#found.size >= MAX_ENTRIES) throw new ImageError(`it has more than ${MAX_ENTRIES} files`);
    if (!this.#found.has(path)) this.#found.set(path, entry);
  }

  async #continued({ systemUse }: IsoRecord): Promise<IsoRecord["systemUse"]> {
    let use = systemUse;
    for (let hops = 0; use.continues !== undefined; hops++) {
      const { offset, length } = use.continues;
      if (hops > 32 || offset + length > this.#sizeBytes) throw new ImageError("a name on it goes on where the image has ended");
      use = use.goOn(await this.#read(offset, length));
    }
    return use;
  }

  /** P1282, 4.1.5: a folder that lies deeper than ISO 9660 allows is kept elsewhere; its own first record tells its length. */
  async #relocated(offset: number): Promise<IsoRecord> {
    if (offset + SECTOR_BYTES > this.#sizeBytes) throw new ImageError("one of its folders lies behind its end");
    const [self] = directoryRecords(await this.#read(offset, SECTOR_BYTES), this.#joliet, this.#rockRidge);
    if (self === undefined) throw new ImageError("one of its folders is empty");
    return self;
  }
}
