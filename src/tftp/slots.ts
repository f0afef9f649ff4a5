/** Each transfer has a descriptor and some read-ahead; a whole rack at once stays well below. */
export const MAX_TRANSFERS = 256;
/** Firmware asks for one file after the other; what it left behind ends by itself within half a minute. */
export const MAX_TRANSFERS_PER_CLIENT = 24;

/** One transfer that is under way or being prepared. */
export interface Slot {
  readonly address: string;
  /** All that the request said: the same again is the same request, sent again. */
  readonly request: string;
  readonly askedMs: number;
  /** Absent while the file is looked up and opened. */
  abort?: (reason: string) => void;
  /** The client is known to have got further; a request repeated after that is a new one. */
  begun: boolean;
}

export interface ClaimedSlot {
  readonly slot: Slot;
  readonly release: () => void;
}

export type Claim =
  | ({ readonly kind: "slot" } & ClaimedSlot)
  /** The same request is being answered. */
  | { readonly kind: "repeated" }
  | { readonly kind: "busy"; readonly reason: string };

/** The transfers of a server by their client's transfer identifier, `address:port`, within the limits. */
export class Slots {
  readonly #slots = new Map<string, Slot>();
  readonly #nowMs: () => number;

  /** `nowMs` is a clock that never goes back. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#slots.size;
  }

  claim(address: string, port: number, request: string): Claim {
    const key = `${address}:${port}`;
    const running = this.#slots.get(key);
    if (running !== undefined) {
      // Asked again before the first answer came through: the answer is on its way, or is repeated by its timer.
      if ((running.request === request && !running.begun) || running.abort === undefined) return { kind: "repeated" };
      running.abort("the client asked anew from the same port");
    }
    const reason = this.#busy(address);
    if (reason !== undefined) return { kind: "busy", reason };
    const slot: Slot = { address, request, askedMs: this.#nowMs(), begun: false };
    this.#slots.set(key, slot);
    const release = (): void => {
      if (this.#slots.get(key) === slot) this.#slots.delete(key);
    };
    return { kind: "slot", slot, release };
  }

  /** Breaks off what one address asked for before a time, or all. */
  abort(reason: string, which?: { readonly address: string; readonly askedBeforeMs: number }): void {
    for (const slot of [...this.#slots.values()]) {
      if (which === undefined || (slot.address === which.address && slot.askedMs < which.askedBeforeMs)) slot.abort?.(reason);
    }
  }

  clear(): void {
    this.#slots.clear();
  }

  #busy(address: string): string | undefined {
    if (this.#slots.size >= MAX_TRANSFERS) return `${MAX_TRANSFERS} transfers are under way, which is the limit`;
    let own = 0;
    for (const slot of this.#slots.values()) if (slot.address === address) own++;
    return own >= MAX_TRANSFERS_PER_CLIENT ? `this client has ${own} transfers under way, which is the limit` : undefined;
  }
}
