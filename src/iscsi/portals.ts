import { isDeepStrictEqual } from "node:util";
import type { Ipv4 } from "../machine/identifiers.ts";
import type { DataPlane } from "../native/data-plane.ts";
import { type Portal, portalsSeenFrom } from "./discovery.ts";

/** Where initiators are to find the target; port 0 lets the system choose, for tests. */
export type WantedPortals = readonly { readonly address: Ipv4; readonly port: number }[];

/** The portals that are open. Each is a target portal group of its own, tagged from 1 (RFC 7143, 4.4.2). */
export class Portals {
  readonly #plane: DataPlane;
  #wanted: WantedPortals = [];
  #open: readonly Portal[] = [];

  constructor(plane: DataPlane) {
    this.#plane = plane;
  }

  get open(): readonly Portal[] {
    return this.#open;
  }

  /** Throws what the data plane throws. Returns them with the ports that they got. */
  listen(wanted: WantedPortals): readonly Portal[] {
    this.#wanted = wanted;
    this.#open = wanted.map(({ address, port }, index) => ({ address, port: this.#plane.listen(index, address, port), tag: index + 1 }));
    return this.#open;
  }

  /**
   * Opens others in the place of those that are open; sessions go on. Undefined where they are the same ones. Where one
   * cannot be had, those of before are open again, and it throws.
   */
  change(wanted: WantedPortals): readonly Portal[] | undefined {
    if (isDeepStrictEqual(wanted, this.#wanted)) return undefined;
    const before = this.#wanted;
    this.close();
    try {
      return this.listen(wanted);
    } catch (cause) {
      this.close();
      this.listen(before);
      throw cause;
    }
  }

  /** Takes no more logins. */
  close(): void {
    for (const [index] of this.#wanted.entries()) this.#plane.unlisten(index);
  }

  /** Those that an initiator is told of that came through `own`: one on the wildcard address is known by the address that it reached. */
  seenFrom(own: Portal): readonly Portal[] {
    const others = this.#open.filter(({ tag, address }) => tag !== own.tag && address !== "0.0.0.0");
    return portalsSeenFrom(own.tag, [own, ...others]);
  }
}
