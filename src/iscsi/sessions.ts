import type { Iqn, MachineName } from "../machine/identifiers.ts";
import type { ConnectionId } from "../native/data-plane.ts";

/**
 * Who is logged in to what, and the rule that makes a root disk survive (RFC 7143, 6.3.5): a login with the initiator
 * name, ISID and target of a session that still exists reinstates it. The old connection is dropped, and the new one
 * waits until nothing of the old is in flight any more, so that no old write lands after the new login.
 */

/** Sessions of one machine at a time: two paths, a firmware's and a running system's, and room for those not yet reaped. */
export const MAX_SESSIONS_PER_MACHINE = 32;
/** Sessions of one daemon, discovery included. */
export const MAX_SESSIONS = 4096;

/** What makes an I_T nexus (RFC 7143, 4.4.1.2). A discovery session has no target, and no nexus. */
export interface Nexus {
  readonly initiator: Iqn;
  readonly isid: string;
  readonly target: Iqn;
  /** The same initiator port may have a session with each target portal group (RFC 7143, 4.4.3). */
  readonly portalTag: number;
  readonly machine: MachineName;
}

export interface Session {
  readonly connection: ConnectionId;
  readonly tsih: number;
  readonly cid: number;
  /** Absent in a discovery session. */
  readonly nexus?: Nexus;
}

interface Entry extends Session {
  /** False while it waits for its predecessor to end. */
  admitted: boolean;
  readonly ended: Promise<void>;
  readonly end: () => void;
}

export type Admission =
  | { readonly kind: "admitted"; readonly tsih: number; readonly reinstated: boolean }
  | { readonly kind: "full"; readonly reason: string }
  /** Its connection ended, or a newer login for the same nexus took its place; there is nobody to answer. */
  | { readonly kind: "gone" };

export class SessionTable {
  readonly #drop: (connection: ConnectionId, detail: string) => void;
  readonly #entries = new Map<ConnectionId, Entry>();
  /** Nexuses whose session ended without a Logout, oldest first, with their machine. */
  readonly #left = new Map<string, MachineName>();
  #lastTsih = 0;

  constructor(drop: (connection: ConnectionId, detail: string) => void) {
    this.#drop = drop;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Those that are in their full-feature phase. */
  *sessions(): Generator<Session> {
    for (const entry of this.#entries.values()) if (entry.admitted) yield entry;
  }

  /** The CID of the connection of a session; undefined where there is no session with this TSIH. */
  cidOf(tsih: number): number | undefined {
    for (const session of this.sessions()) if (session.tsih === tsih) return session.cid;
    return undefined;
  }

  /**
   * Makes room for a login that was agreed on. Resolves when it may be answered; the predecessor, and every other login
   * that waits for the same nexus, is dropped and has ended by then.
   */
  async admit(connection: ConnectionId, cid: number, nexus: Nexus | undefined): Promise<Admission> {
    const rivals = nexus === undefined ? [] : this.#entriesOf((entry) => sameNexus(entry.nexus, nexus));
    const full = this.#fullness(nexus, rivals.length);
    if (full !== undefined) return { kind: "full", reason: full };
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const entry: Entry = {
      connection,
      cid,
      tsih: this.#nextTsih(),
      ...(nexus === undefined ? {} : { nexus }),
      admitted: false,
      ended,
      end,
    };
    this.#entries.set(connection, entry);
    for (const rival of rivals) this.#drop(rival.connection, "the session was reinstated by a new login");
    await Promise.all(rivals.map((rival) => rival.ended));
    // A newer login for this nexus drops this one exactly as this one dropped its predecessor, so `closed` removes it.
    if (this.#entries.get(connection) !== entry || this.#superseded(entry)) return { kind: "gone" };
    entry.admitted = true;
    const cameBack = nexus !== undefined && this.#left.delete(keyOf(nexus));
    return { kind: "admitted", tsih: entry.tsih, reinstated: cameBack || rivals.some((rival) => rival.admitted) };
  }

  #superseded(entry: Entry): boolean {
    let after = false;
    for (const other of this.#entries.values()) {
      if (after && entry.nexus !== undefined && sameNexus(other.nexus, entry.nexus)) return true;
      after ||= other === entry;
    }
    return false;
  }

  /**
   * The data plane's last word on a connection. Returns the session that it carried, if it carried one. One that was left
   * without a Logout may be come back to: open-iscsi of the real root closes TCP before it takes the initramfs's session over.
   */
  closed(connection: ConnectionId, loggedOut: boolean): Session | undefined {
    const entry = this.#entries.get(connection);
    if (entry === undefined) return undefined;
    this.#entries.delete(connection);
    entry.end();
    if (entry.admitted && !loggedOut && entry.nexus !== undefined) this.#remember(entry.nexus);
    return entry.admitted ? entry : undefined;
  }

  /** Drops every session and every waiting login of a machine; resolves when nothing of them is in flight any more. */
  async fence(machine: MachineName, detail: string): Promise<void> {
    const entries = this.#entriesOf((entry) => entry.nexus?.machine === machine);
    for (const entry of entries) this.#drop(entry.connection, detail);
    await Promise.all(entries.map((entry) => entry.ended));
    for (const [key, owner] of this.#left) if (owner === machine) this.#left.delete(key);
  }

  #remember(nexus: Nexus): void {
    const [oldest] = this.#left.keys();
    if (this.#left.size >= MAX_SESSIONS && oldest !== undefined) this.#left.delete(oldest);
    this.#left.set(keyOf(nexus), nexus.machine);
  }

  #entriesOf(matches: (entry: Entry) => boolean): readonly Entry[] {
    return [...this.#entries.values()].filter(matches);
  }

  #fullness(nexus: Nexus | undefined, replaced: number): string | undefined {
    if (this.#entries.size - replaced >= MAX_SESSIONS) return `${MAX_SESSIONS} sessions are open`;
    if (nexus === undefined) return undefined;
    const own = this.#entriesOf((entry) => entry.nexus?.machine === nexus.machine).length - replaced;
    return own >= MAX_SESSIONS_PER_MACHINE ? `${nexus.machine} has ${MAX_SESSIONS_PER_MACHINE} sessions already` : undefined;
  }

  /** Not 0, and not that of a live session (RFC 7143, 11.12.6). */
  #nextTsih(): number {
    do {
      this.#lastTsih = (this.#lastTsih % 0xffff) + 1;
    } while (this.#entriesOf((entry) => entry.tsih === this.#lastTsih).length > 0);
    return this.#lastTsih;
  }
}

function sameNexus(a: Nexus | undefined, b: Nexus): boolean {
  return a !== undefined && a.initiator === b.initiator && a.isid === b.isid && a.target === b.target && a.portalTag === b.portalTag;
}

function keyOf({ initiator, isid, target, portalTag }: Nexus): string {
  return `${initiator} ${isid} ${target} ${portalTag}`;
}
