import { type Ipv4, ipv4FromNumber, ipv4ToNumber, type Mac } from "../machine/identifiers.ts";

/**
 * Who has which address: offers (until the client says yes), bindings (acknowledged, kept after their end so that a
 * machine finds its old address again), and the quarantine of addresses that a client found in use.
 * Pure: time comes in with each call, and what must survive a restart goes to the {@link "./lease-store.ts"}.
 */

/** One client's binding. It is a value; the MAC and the address are unique in the table. */
export interface Lease {
  readonly mac: Mac;
  readonly address: Ipv4;
  /** Milliseconds since the epoch; Infinity never ends. In the past: ended, and remembered. */
  readonly expiresMs: number;
}

/** How long an offer is kept for its client: longer than any firmware dwells on its offers (OVMF: 3.9 s), short enough for a flood to pass. */
export const OFFER_LIFE_MS = 30_000;
/** And for a client that lives on its offer: until the system that it loads asks for itself. */
export const SILENT_OFFER_LIFE_MS = 300_000;
/** Offers open at once, over all clients; one per MAC by nature. A flood of invented MACs gets no further than this. */
export const OFFERS_MAX = 4096;
/** Addresses of a range that are used; with one binding an address, this bounds what strangers can make us remember. */
export const POOL_MAX = 65_536;
/** A declined address rests: by then whoever had it by mistake has been found, or is gone. */
export const QUARANTINE_MS = 600_000;
export const QUARANTINE_MAX = 1024;
/** After a search over a full pool found nothing, the next one waits: a flood must not buy a full search with each packet. */
const EXHAUSTED_PAUSE_MS = 1000;

/** Why no address could be found; sentences for people. */
export type NoAddress = "the pool is exhausted" | "too many offers are open" | "no range is configured";

export interface AddressRange {
  readonly first: Ipv4;
  readonly last: Ipv4;
}

interface Offer {
  readonly address: Ipv4;
  readonly untilMs: number;
}

export class LeaseTable {
  readonly #bindings = new Map<Mac, Lease>();
  readonly #holders = new Map<Ipv4, Mac>();
  readonly #offers = new Map<Mac, Offer>();
  readonly #offered = new Map<Ipv4, Mac>();
  readonly #quarantine = new Map<Ipv4, number>();
  /** Bound since this table is there: their ends were reckoned by the clock that it has been given. */
  readonly #fresh = new Set<Mac>();
  #first = 0;
  #size = 0;
  #cursor = 0;
  /** No address of the pool is left that nobody ever had; from then on ended leases are looked for at once. */
  #allHeld = false;
  #exhaustedUntilMs = 0;

  /** The pool; bindings outside it stay as they are. */
  setRange(range: AddressRange | undefined): void {
    const first = range === undefined ? 0 : ipv4ToNumber(range.first);
    const size = range === undefined ? 0 : Math.min(ipv4ToNumber(range.last) - first + 1, POOL_MAX);
    if (first === this.#first && size === this.#size) return;
    this.#first = first;
    this.#size = size;
    this.#cursor = 0;
    this.#allHeld = false;
    this.#exhaustedUntilMs = 0;
  }

  /** At start, from the store. */
  restore(leases: Iterable<Lease>): void {
    for (const lease of leases) this.#put(lease);
  }

  bindingOf(mac: Mac): Lease | undefined {
    return this.#bindings.get(mac);
  }

  offerOf(mac: Mac, nowMs: number): Ipv4 | undefined {
    const offer = this.#offers.get(mac);
    return offer !== undefined && offer.untilMs > nowMs ? offer.address : undefined;
  }

  addressOf(mac: Mac): Ipv4 | undefined {
    return this.#bindings.get(mac)?.address;
  }

  /** Its last holder, even after the lease's end: until somebody else gets the address, it is most likely still the same machine. */
  macAt(address: Ipv4): Mac | undefined {
    return this.#holders.get(address);
  }

  /** Who was offered it a moment ago, and has not answered yet. */
  offeredTo(address: Ipv4, nowMs: number): Mac | undefined {
    const mac = this.#offered.get(address);
    return mac !== undefined && this.offerOf(mac, nowMs) !== undefined ? mac : undefined;
  }

  get leases(): Iterable<Lease> {
    return this.#bindings.values();
  }

  inPool(address: Ipv4): boolean {
    const index = ipv4ToNumber(address) - this.#first;
    return index >= 0 && index < this.#size;
  }

  quarantined(address: Ipv4, nowMs: number): boolean {
    return (this.#quarantine.get(address) ?? 0) > nowMs;
  }

  /** Nobody but `mac` has it or was offered it, and it does not rest. */
  availableTo(mac: Mac, address: Ipv4, nowMs: number): boolean {
    if (this.quarantined(address, nowMs)) return false;
    const holder = this.#holders.get(address);
    if (holder !== undefined && holder !== mac && (this.#bindings.get(holder)?.expiresMs ?? 0) > nowMs) return false;
    const offeredTo = this.#offered.get(address);
    return offeredTo === undefined || offeredTo === mac || this.offerOf(offeredTo, nowMs) === undefined;
  }

  /**
   * An address of the pool for `mac`: the one it has or had, the one offered a moment ago, the one it asks for, one that
   * nobody ever had, one whose lease has ended; in this order. `usable` says which addresses the configuration lets it have.
   */
  choose(mac: Mac, nowMs: number, usable: (address: Ipv4) => boolean, requested?: Ipv4): Ipv4 | NoAddress {
    if (this.#size === 0) return "no range is configured";
    for (const wish of [this.#bindings.get(mac)?.address, this.offerOf(mac, nowMs), requested]) {
      if (wish !== undefined && this.inPool(wish) && usable(wish) && this.availableTo(mac, wish, nowMs)) return wish;
    }
    if (nowMs < this.#exhaustedUntilMs) return "the pool is exhausted";
    const free = (address: Ipv4) => usable(address) && this.availableTo(mac, address, nowMs);
    if (!this.#allHeld) {
      const neverHeld = this.#search((address) => !this.#holders.has(address) && free(address));
      if (neverHeld !== undefined) return neverHeld;
      this.#allHeld = true;
    }
    const ended = this.#search(free);
    if (ended !== undefined) return ended;
    this.#exhaustedUntilMs = nowMs + EXHAUSTED_PAUSE_MS;
    return "the pool is exhausted";
  }

  /** Goes on where the last search ended, so that the address given up last is the one used again last. */
  #search(wanted: (address: Ipv4) => boolean): Ipv4 | undefined {
    for (let step = 0; step < this.#size; step++) {
      const index = (this.#cursor + step) % this.#size;
      const address = ipv4FromNumber(this.#first + index);
      if (wanted(address)) {
        this.#cursor = (index + 1) % this.#size;
        return address;
      }
    }
    return undefined;
  }

  /** Keeps `address` for `mac`; false where too many offers are open. Fixed addresses are offered whatever the limit: they are as many as the machines. */
  offer(mac: Mac, address: Ipv4, nowMs: number, fixed: boolean, lifeMs: number = OFFER_LIFE_MS): boolean {
    this.#dropOffer(mac);
    if (this.#offers.size >= OFFERS_MAX) this.#dropEndedOffers(nowMs);
    if (!fixed && this.#offers.size >= OFFERS_MAX) return false;
    const earlier = this.#offered.get(address);
    if (earlier !== undefined) this.#dropOffer(earlier);
    this.#offers.set(mac, { address, untilMs: nowMs + lifeMs });
    this.#offered.set(address, mac);
    return true;
  }

  /** The client said yes. Whoever had the address, and whatever else `mac` had, ends. */
  bind(mac: Mac, address: Ipv4, expiresMs: number): Lease {
    this.#dropOffer(mac);
    const lease = { mac, address, expiresMs };
    this.#put(lease);
    this.#fresh.add(mac);
    return lease;
  }

  /**
   * The time of day was set by `byMs`: a lease lasts as long as its client was told, whatever the clock says, so ends that were reckoned
   * by the old time move along. Those that were restored stay: at a cold start the clock is in the past, and what they say
   * was right. Returns the leases that changed.
   */
  shift(byMs: number): readonly Lease[] {
    for (const [mac, offer] of this.#offers) this.#offers.set(mac, { ...offer, untilMs: offer.untilMs + byMs });
    for (const [address, untilMs] of this.#quarantine) this.#quarantine.set(address, untilMs + byMs);
    this.#exhaustedUntilMs = 0;
    const moved = [...this.#fresh].flatMap((mac) => this.#bindings.get(mac) ?? []).filter(({ expiresMs }) => Number.isFinite(expiresMs));
    return moved.map((lease) => {
      const shifted = { ...lease, expiresMs: lease.expiresMs + byMs };
      this.#put(shifted);
      return shifted;
    });
  }

  /** Ends now every lease without end that `orphaned` says nobody is left to renew. Returns them. */
  endEndless(orphaned: (mac: Mac) => boolean, nowMs: number): readonly Lease[] {
    const endless = [...this.#bindings.values()].filter(({ mac, expiresMs }) => expiresMs === Number.POSITIVE_INFINITY && orphaned(mac));
    if (endless.length > 0) this.#exhaustedUntilMs = 0;
    return endless.map(({ mac, address }) => this.bind(mac, address, nowMs));
  }

  /** The client chose another server's offer. */
  withdraw(mac: Mac): void {
    this.#dropOffer(mac);
  }

  /** Ends the lease now. Undefined where `mac` does not hold `address`: a release of somebody else's address is no release. */
  release(mac: Mac, address: Ipv4, nowMs: number): Lease | undefined {
    this.#dropOffer(mac);
    const binding = this.#bindings.get(mac);
    if (binding === undefined || binding.address !== address || binding.expiresMs <= nowMs) return undefined;
    this.#exhaustedUntilMs = 0;
    return this.bind(mac, address, nowMs);
  }

  /** The lease has not ended. */
  lives(mac: Mac, address: Ipv4, nowMs: number): boolean {
    const binding = this.#bindings.get(mac);
    return binding?.address === address && binding.expiresMs > nowMs;
  }

  /** Somebody was found at an address that was not given to him, or is gone again. */
  setInUse(address: Ipv4, inUse: boolean, nowMs: number): void {
    if (inUse) this.#rest(address, nowMs);
    else if (this.#quarantine.delete(address)) this.#exhaustedUntilMs = 0;
  }

  /** The client found somebody at the address that it was given. Undefined where it never was given it. */
  decline(mac: Mac, address: Ipv4, nowMs: number): Lease | undefined {
    if (this.#bindings.get(mac)?.address !== address && this.#offers.get(mac)?.address !== address) return undefined;
    this.#rest(address, nowMs);
    return this.bind(mac, address, nowMs);
  }

  #rest(address: Ipv4, nowMs: number): void {
    this.#quarantine.delete(address);
    for (const [oldest, untilMs] of this.#quarantine) {
      if (untilMs > nowMs && this.#quarantine.size < QUARANTINE_MAX) break;
      this.#quarantine.delete(oldest);
    }
    this.#quarantine.set(address, nowMs + QUARANTINE_MS);
  }

  #put(lease: Lease): void {
    const before = this.#bindings.get(lease.mac);
    if (before !== undefined && before.address !== lease.address) {
      this.#holders.delete(before.address);
      this.#allHeld = false;
    }
    const holder = this.#holders.get(lease.address);
    if (holder !== undefined && holder !== lease.mac) {
      this.#bindings.delete(holder);
      this.#fresh.delete(holder);
    }
    this.#bindings.set(lease.mac, lease);
    this.#holders.set(lease.address, lease.mac);
  }

  #dropOffer(mac: Mac): void {
    const offer = this.#offers.get(mac);
    if (offer === undefined) return;
    this.#offers.delete(mac);
    this.#offered.delete(offer.address);
  }

  #dropEndedOffers(nowMs: number): void {
    for (const [mac, offer] of this.#offers) {
      if (offer.untilMs <= nowMs) this.#dropOffer(mac);
      // Offers are kept in the order of their making, so the ended ones stand first, but for those that are kept for longer.
      else if (offer.untilMs - nowMs <= OFFER_LIFE_MS) return;
    }
  }
}
