import { randomInt } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { Resources } from "./resources.ts";

/**
 * A disk with a write cache that loses its power, as an NBD server for QEMU: what was written is kept aside until a flush (or
 * a FUA write) puts it on the medium, and when the power is cut, any part of the rest is there and any other is not, sector by
 * sector and in no order. The protocol is https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md.
 */

/** What a disk writes whole or not at all. */
const SECTOR = 512;

const INIT_MAGIC = Buffer.from("NBDMAGIC");
const OPTION_MAGIC = Buffer.from("IHAVEOPT");
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
/** Fixed newstyle, and no zeroes behind the export's description. */
const HANDSHAKE_FLAGS = 0b11;
const OPTION = { abort: 2, info: 6, go: 7 } as const;
const OPTION_REPLY = { ack: 1, info: 3, unsupported: 0x80000001 } as const;
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3 } as const;
const FUA = 1;
/** Has flags, SEND_FLUSH, SEND_FUA. */
const TRANSMISSION_FLAGS = 0b1101;
const EINVAL = 22;
const OPTION_HEADER = 16;
const REQUEST_HEADER = 28;

/** How a power cut went. */
export interface CacheFate {
  /** Sectors in the cache of which the medium got the new content, and of which it has the old. */
  readonly kept: number;
  readonly lost: number;
}

export interface VolatileDiskOptions {
  /** The medium: a file as large as the disk. */
  readonly image: string;
  /** Where it listens. */
  readonly socketPath: string;
  /** False: it says that it flushed, and did not. For tests of the tests. */
  readonly honest?: boolean;
}

export class VolatileDisk {
  readonly #fd: number;
  readonly #sizeBytes: number;
  readonly #honest: boolean;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** By their number; the newest content that the medium does not have. */
  readonly #cache = new Map<number, Buffer>();
  flushes = 0;

  private constructor(options: VolatileDiskOptions) {
    this.#fd = openSync(options.image, "r+");
    this.#sizeBytes = fstatSync(this.#fd).size;
    this.#honest = options.honest ?? true;
    this.#server = createServer((socket) => void this.#serve(socket));
  }

  static async open(resources: Resources, options: VolatileDiskOptions): Promise<VolatileDisk> {
    rmSync(options.socketPath, { force: true });
    const disk = new VolatileDisk(options);
    await new Promise<void>((resolve) => disk.#server.listen(options.socketPath, resolve));
    resources.defer(options.image, () => {
      disk.#drop();
      disk.#server.close();
      closeSync(disk.#fd);
    });
    return disk;
  }

  /** Nobody is served any more what was not flushed, except for what chance put on the medium. */
  cutPower(): CacheFate {
    this.#drop();
    let kept = 0;
    const total = this.#cache.size;
    for (const [sector, content] of this.#cache) {
      if (randomInt(2) === 0) continue;
      writeSync(this.#fd, content, 0, SECTOR, sector * SECTOR);
      kept++;
    }
    this.#cache.clear();
    return { kept, lost: total - kept };
  }

  #drop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    const take = taker(socket);
    try {
      await this.#negotiate(socket, take);
      for (;;) await this.#answer(socket, take);
    } catch {
      // It went: QEMU was killed, or said goodbye.
      socket.destroy();
    } finally {
      this.#sockets.delete(socket);
    }
  }

  async #negotiate(socket: Socket, take: Take): Promise<void> {
    socket.write(Buffer.concat([INIT_MAGIC, OPTION_MAGIC, Buffer.from([0, HANDSHAKE_FLAGS])]));
    await take(4);
    for (;;) {
      const header = await take(OPTION_HEADER);
      const option = header.readUInt32BE(8);
      await take(header.readUInt32BE(12));
      const reply = (type: number, data: Buffer = Buffer.alloc(0)): void => {
        const head = Buffer.alloc(20);
        head.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
        head.writeUInt32BE(option, 8);
        head.writeUInt32BE(type, 12);
        head.writeUInt32BE(data.length, 16);
        socket.write(Buffer.concat([head, data]));
      };
      if (option !== OPTION.go && option !== OPTION.info) {
        reply(option === OPTION.abort ? OPTION_REPLY.ack : OPTION_REPLY.unsupported);
        continue;
      }
      const description = Buffer.alloc(12);
      description.writeBigUInt64BE(BigInt(this.#sizeBytes), 2);
      description.writeUInt16BE(TRANSMISSION_FLAGS, 10);
      reply(OPTION_REPLY.info, description);
      reply(OPTION_REPLY.ack);
      if (option === OPTION.go) return;
    }
  }

  async #answer(socket: Socket, take: Take): Promise<void> {
    const request = await take(REQUEST_HEADER);
    if (request.readUInt32BE(0) !== REQUEST_MAGIC) throw new Error("no NBD request");
    const flags = request.readUInt16BE(4);
    const command = request.readUInt16BE(6);
    const offset = Number(request.readBigUInt64BE(16));
    const length = request.readUInt32BE(24);
    let data = Buffer.alloc(0);
    let error = 0;
    if (command === COMMAND.read) data = this.#read(offset, length);
    else if (command === COMMAND.write) this.#write(offset, await take(length), (flags & FUA) !== 0);
    else if (command === COMMAND.flush) this.#flush();
    else if (command === COMMAND.disconnect) throw new Error("goodbye");
    else error = EINVAL;
    const head = Buffer.alloc(16);
    head.writeUInt32BE(REPLY_MAGIC, 0);
    head.writeUInt32BE(error, 4);
    request.copy(head, 8, 8, 16);
    socket.write(Buffer.concat([head, data]));
  }

  #read(offset: number, length: number): Buffer<ArrayBuffer> {
    const data = Buffer.alloc(length);
    readSync(this.#fd, data, 0, length, offset);
    for (let at = 0; at < length; at += SECTOR) this.#cache.get((offset + at) / SECTOR)?.copy(data, at);
    return data;
  }

  #write(offset: number, data: Buffer, fua: boolean): void {
    const through = fua && this.#honest;
    for (let at = 0; at < data.length; at += SECTOR) {
      const sector = (offset + at) / SECTOR;
      if (through) this.#cache.delete(sector);
      else this.#cache.set(sector, data.subarray(at, at + SECTOR));
    }
    if (through) writeSync(this.#fd, data, 0, data.length, offset);
  }

  #flush(): void {
    this.flushes++;
    if (!this.#honest) return;
    for (const [sector, content] of this.#cache) writeSync(this.#fd, content, 0, SECTOR, sector * SECTOR);
    this.#cache.clear();
    fsyncSync(this.#fd);
  }
}

type Take = (octets: number) => Promise<Buffer>;

/** Reads exactly as many octets as are asked for; throws when the stream ends before. */
function taker(socket: Socket): Take {
  let buffered: Buffer[] = [];
  let available = 0;
  let wake = (): void => undefined;
  socket.on("data", (chunk: Buffer) => {
    buffered.push(chunk);
    available += chunk.length;
    wake();
  });
  socket.once("close", () => wake());
  return async (octets) => {
    while (available < octets) {
      if (socket.destroyed) throw new Error("the connection ended");
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const all = buffered.length === 1 && buffered[0] !== undefined ? buffered[0] : Buffer.concat(buffered);
    buffered = all.length === octets ? [] : [all.subarray(octets)];
    available -= octets;
    return all.subarray(0, octets);
  };
}
