import { setImmediate as turn } from "node:timers/promises";
import { OPCODE } from "../../src/iscsi/pdu.ts";
import type { Resources } from "../harness/resources.ts";
import { dracutKeys } from "../iscsi/support.ts";
import { RawInitiator } from "./raw-initiator.ts";

/** RFC 7143, 11.4 and 11.7. */
const SCSI_RESPONSE = 0x21;
const DATA_IN = 0x25;
/** RFC 7143, 11.7: the Data-In PDU that brings the status as well. */
const STATUS_BIT = 0x01;
/** RFC 7143, 11.4: response data begin with the length of the sense data. */
const SENSE_LENGTH_OCTETS = 2;
export const BLOCK = 512;

/** SAM-5, 5.3.1, and SPC-4, 4.5.3: sense key, ASC and ASCQ as in `3/0c/00`; empty where there is none. */
export interface Outcome {
  readonly status: number;
  readonly sense: string;
  readonly data: Uint8Array;
}

/** A machine's initiator that reads and writes its LUN 0 one command at a time. */
export class DiskClient {
  readonly initiator: RawInitiator;

  private constructor(initiator: RawInitiator) {
    this.initiator = initiator;
  }

  /** Logs in, and takes the unit attention that every session begins with. Throws where it is refused. */
  static async login(resources: Resources, portal: string, machine: string, initiatorName?: string): Promise<DiskClient> {
    const initiator = await RawInitiator.connect(portal);
    resources.defer(`session of ${machine}`, () => initiator.vanish());
    const { status } = await initiator.login(
      dracutKeys(machine).map(([key, value]) => [key, key === "InitiatorName" ? (initiatorName ?? value) : value]),
    );
    if (status !== 0) throw new Error(`the login of ${machine} was refused with status 0x${status.toString(16)}`);
    const client = new DiskClient(initiator);
    await client.run(Uint8Array.of(0, 0, 0, 0, 0, 0));
    return client;
  }

  async run(cdb: Uint8Array, transfer: { readonly read?: number; readonly write?: Uint8Array } = {}): Promise<Outcome> {
    this.initiator.command(cdb, transfer);
    const chunks: Uint8Array[] = [];
    for (;;) {
      const { opcode, header, data } = await this.initiator.next();
      if (opcode === OPCODE.asyncMessage) continue;
      if (opcode === DATA_IN) {
        chunks.push(data);
        if (((header[1] ?? 0) & STATUS_BIT) === 0) continue;
      } else if (opcode !== SCSI_RESPONSE) throw new Error(`a PDU of opcode 0x${opcode.toString(16)} came`);
      const sense = opcode === SCSI_RESPONSE && data.length > 0 ? describe(data.subarray(SENSE_LENGTH_OCTETS)) : "";
      return { status: header[3] ?? 0xff, sense, data: Buffer.concat(chunks) };
    }
  }

  write(lba: number, data: Uint8Array, options: { readonly fua?: boolean } = {}): Promise<Outcome> {
    return this.run(transferCdb(0x2a, lba, data.length, options.fua === true), { write: data });
  }

  read(lba: number, octets: number): Promise<Outcome> {
    return this.run(transferCdb(0x28, lba, octets, false), { read: octets });
  }

  /** SYNCHRONIZE CACHE(10) of the whole disk. */
  flush(): Promise<Outcome> {
    return this.run(Uint8Array.of(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  }
}

/** SBC-3, 5.10 and 5.32. */
function transferCdb(opcode: number, lba: number, octets: number, fua: boolean): Uint8Array {
  const cdb = Buffer.alloc(10);
  cdb[0] = opcode;
  cdb[1] = fua ? 0x08 : 0;
  cdb.writeUInt32BE(lba, 2);
  cdb.writeUInt16BE(octets / BLOCK, 7);
  return cdb;
}

/** Fixed format: SPC-4, 4.5.3. */
function describe(sense: Uint8Array): string {
  const hex = (octet: number | undefined): string => (octet ?? 0).toString(16).padStart(2, "0");
  return `${((sense[2] ?? 0) & 0x0f).toString(16)}/${hex(sense[12])}/${hex(sense[13])}`;
}

/** Writes and reads back all the time, as a running machine does, and remembers the first thing that was not well. */
export class BusyMachine {
  readonly #ended: Promise<void>;
  #stopping = false;
  #rounds = 0;

  constructor(client: DiskClient) {
    this.#ended = this.#work(client);
    // It is stop() that tells.
    this.#ended.catch(() => undefined);
  }

  get rounds(): number {
    return this.#rounds;
  }

  /** Throws what went wrong; otherwise returns how often all was well. */
  async stop(): Promise<number> {
    this.#stopping = true;
    await this.#ended;
    return this.#rounds;
  }

  async #work(client: DiskClient): Promise<void> {
    while (!this.#stopping) {
      const octets = Buffer.alloc(8 * BLOCK, this.#rounds & 0xff);
      const lba = (this.#rounds % 64) * 8;
      const outcomes = [await client.write(lba, octets), await client.read(lba, octets.length)];
      const [written, read] = outcomes;
      if (written?.status !== 0 || read?.status !== 0 || !octets.equals(read.data)) {
        throw new Error(`round ${this.#rounds}: ${outcomes.map(({ status, sense }) => `status ${status} ${sense}`).join(", ")}`);
      }
      this.#rounds++;
      // Timers and signals of the test have their turn.
      await turn();
    }
  }
}
