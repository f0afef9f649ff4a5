import { type Iqn, parseIqn } from "../machine/identifiers.ts";
import type { Machine } from "../machine/machine.ts";
import type { TextPairs } from "./text.ts";

/** Where a target can be reached; `tag` is its portal group (RFC 7143, 4.1.1), one a portal. */
export interface Portal {
  readonly address: string;
  readonly port: number;
  readonly tag: number;
}

export interface DiscoveryContext {
  /** The machines whose target this initiator may see. */
  readonly visible: readonly Machine[];
  /** The target of a normal session; absent in a discovery session. */
  readonly sessionTarget?: Iqn;
  /** The portal through which the initiator asks stands first, since that one it can surely reach. */
  readonly portals: readonly Portal[];
}

/**
 * Answers SendTargets (RFC 7143, appendix C): "All" or a target's name in a discovery session; in a normal session nothing
 * is told of other targets, whatever is asked for. Undefined: the value is not allowed.
 */
export function sendTargets(value: string, context: DiscoveryContext): TextPairs | undefined {
  const wanted = machinesFor(value, context);
  return wanted?.flatMap((machine): TextPairs => [["TargetName", machine.target], ...addresses(context.portals)]);
}

function machinesFor(value: string, { visible, sessionTarget }: DiscoveryContext): readonly Machine[] | undefined {
  const own = sessionTarget === undefined ? visible : visible.filter((machine) => machine.target === sessionTarget);
  // The appendix keeps "All" for discovery sessions; initiators that ask for it in a normal one only want to know themselves.
  if (value === "All") return own;
  if (value === "") return sessionTarget === undefined ? undefined : own;
  const name = iscsiName(value);
  return name === undefined ? undefined : own.filter((machine) => machine.target === name);
}

function iscsiName(text: string): Iqn | undefined {
  try {
    return parseIqn(text);
  } catch {
    return undefined;
  }
}

function addresses(portals: readonly Portal[]): TextPairs {
  return portals.map(({ address, port, tag }) => ["TargetAddress", `${address}:${port},${tag}`] as const);
}

/** The portal with this tag first, the others in their order. */
export function portalsSeenFrom(tag: number, portals: readonly Portal[]): readonly Portal[] {
  return portals.toSorted((a, b) => Number(b.tag === tag) - Number(a.tag === tag));
}
