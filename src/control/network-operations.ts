import { z } from "zod";
import { ControlError } from "./errors.ts";
import { call, type Operations } from "./operation.ts";

/** What a person sets of the network, in the words of rackboot.yaml. */
export interface NetworkSettings {
  readonly interface: string;
  /** With the prefix length: `172.16.0.1/24`. */
  readonly address: string;
  readonly vlan: number | null;
  readonly dhcpMode: "server" | "proxy" | "off";
  /** `172.16.0.100-172.16.0.254`. */
  readonly dhcpRange: string | null;
}

export interface NetworkReport {
  /** What runs. */
  readonly settings: NetworkSettings;
  /** The daemon sets the address itself. */
  readonly manage: boolean;
  /** Interfaces that there are, without the loopback. */
  readonly interfaces: readonly string[];
  /** `settings` are on trial: without a confirmation, `before` comes back. */
  readonly pending?: { readonly before: NetworkSettings; readonly secondsLeft: number };
}

/** The network, by whoever sets it. Refusals are errors whose `code` is ERR_NETWORK_CHANGE. */
export interface NetworkWork {
  report(): NetworkReport;
  /** Resolves when the settings are in force, on trial. */
  apply(settings: NetworkSettings): Promise<NetworkReport>;
  /** Keeps what is on trial. */
  confirm(): Promise<NetworkReport>;
  /** Puts back what was before, without waiting. */
  revert(): Promise<NetworkReport>;
}

interface Call<I> {
  readonly input: I;
  readonly output: NetworkReport;
}
type Nothing = Readonly<Record<string, never>>;

/** For typed clients. */
export interface NetworkCalls {
  readonly "network.show": Call<Nothing>;
  readonly "network.apply": Call<NetworkSettings>;
  readonly "network.confirm": Call<Nothing>;
  readonly "network.revert": Call<Nothing>;
}

const text = z.string().min(1).max(64);
const nothing = z.strictObject({});
/** What the values must be is the configuration's to say. */
const settings = z.strictObject({
  interface: text,
  address: text,
  vlan: z.int().nullable(),
  dhcpMode: z.enum(["server", "proxy", "off"]),
  dhcpRange: text.nullable(),
});

export function networkOperations(work: NetworkWork): Operations {
  return {
    "network.show": call(nothing, () => work.report()),
    "network.apply": call(settings, (input) => told(() => work.apply(input))),
    "network.confirm": call(nothing, () => told(() => work.confirm())),
    "network.revert": call(nothing, () => told(() => work.revert())),
  };
}

/** A refusal is the caller's to hear; everything else is a bug of ours. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if ((cause as { readonly code?: unknown }).code !== "ERR_NETWORK_CHANGE") throw cause;
    throw new ControlError("ERR_REFUSED", (cause as Error).message, { cause });
  }
}
