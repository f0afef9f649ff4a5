import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { writeConfigText } from "../../src/machine/config-store.ts";
import { SystemError } from "./run.ts";

/** RFC 7914; OWASP's minimum of 2023. 128 * N * r octets are 64 MiB, which a board has to spare. */
const COST = { N: 2 ** 16, r: 8, p: 1 } as const;
const MAX_MEMORY_OCTETS = 128 * 1024 * 1024;
const HASH_OCTETS = 32;
const SALT_OCTETS = 16;

/** The one password of the board: a scrypt hash in a file that only root reads. There is none until a person sets it. */
export class Keeper {
  readonly #file: string;
  /** One guess after the other: many at once would take the memory from the machines. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(file: string) {
    this.#file = file;
  }

  get isSet(): boolean {
    return existsSync(this.#file);
  }

  /** Throws SystemError where `current` is not the one that is set. */
  async set(password: string, current: string | undefined): Promise<void> {
    if (this.isSet && (current === undefined || !(await this.check(current))))
      throw new SystemError("that is not the password that is set; nothing was changed");
    const salt = randomBytes(SALT_OCTETS);
    const hash = await derive(password, salt, COST);
    const { N, r, p } = COST;
    writeConfigText(this.#file, `scrypt ${N} ${r} ${p} ${salt.toString("base64")} ${hash.toString("base64")}\n`);
  }

  check(password: string): Promise<boolean> {
    const checked = this.#queue.then(() => this.#check(password));
    this.#queue = checked.catch(() => undefined);
    return checked;
  }

  async #check(password: string): Promise<boolean> {
    if (!this.isSet) return false;
    const [kind, N, r, p, salt = "", hash = ""] = readFileSync(this.#file, "utf8").trim().split(" ");
    const wanted = Buffer.from(hash, "base64");
    if (kind !== "scrypt" || wanted.length !== HASH_OCTETS)
      throw new SystemError(`${this.#file} makes no sense; hold the button at power-on and set the password anew`);
    const found = await derive(password, Buffer.from(salt, "base64"), { N: Number(N), r: Number(r), p: Number(p) });
    return timingSafeEqual(found, wanted);
  }
}

function derive(password: string, salt: Buffer, cost: { readonly N: number; readonly r: number; readonly p: number }): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize("NFC"), salt, HASH_OCTETS, { ...cost, maxmem: MAX_MEMORY_OCTETS }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}
