import { networkInterfaces } from "node:os";
import type { NetworkReport, NetworkSettings, NetworkWork } from "./control/network-operations.ts";
import type { LiveConfig } from "./live-config.ts";
import type { Config } from "./machine/config.ts";

/** How long a person has to say that they still see the appliance. */
const CONFIRM_WITHIN_MS = 60_000;

/** Why the network is not changed; the message says so to a person. */
class NetworkRefused extends Error {
  readonly code = "ERR_NETWORK_CHANGE";
}

/**
 * Network changes are confirmed or go back. What is on trial runs and is written nowhere: the file keeps what was before
 * until the confirmation, so that a restart and a power cut go back as well.
 */
export class NetworkTrial implements NetworkWork {
  readonly #live: LiveConfig;
  readonly #confirmWithinMs: number;
  #trial: { readonly before: NetworkSettings; readonly deadlineMs: number; readonly timer: NodeJS.Timeout } | undefined;

  constructor(live: LiveConfig, confirmWithinMs: number = CONFIRM_WITHIN_MS) {
    this.#live = live;
    this.#confirmWithinMs = confirmWithinMs;
    live.onTrialOver = () => this.#over();
  }

  report(): NetworkReport {
    const { config } = this.#live.inForce;
    const interfaces = Object.keys(networkInterfaces()).filter((name) => name !== "lo");
    const trial = this.#trial;
    const secondsLeft = trial === undefined ? 0 : Math.max(0, Math.ceil((trial.deadlineMs - performance.now()) / 1000));
    return {
      settings: settingsOf(config),
      manage: config.network.manage,
      interfaces: [...new Set([config.network.interface, ...interfaces])],
      ...(trial !== undefined && { pending: { before: trial.before, secondsLeft } }),
    };
  }

  async apply(settings: NetworkSettings): Promise<NetworkReport> {
    if (this.#trial !== undefined) throw new NetworkRefused("a change is on trial already; confirm it or take it back first");
    const before = settingsOf(this.#live.inForce.config);
    await told(() => this.#live.tryOut({ kind: "sets", values: valuesOf(settings) }));
    // Monotonic: the wall clock of a board may jump by years when it first hears of the time.
    const deadlineMs = performance.now() + this.#confirmWithinMs;
    const timer = setTimeout(() => void this.#live.endTrial(), this.#confirmWithinMs);
    timer.unref();
    this.#trial = { before, deadlineMs, timer };
    return this.report();
  }

  async confirm(): Promise<NetworkReport> {
    this.#mustBeOnTrial();
    await told(() => this.#live.keepTrial());
    return this.report();
  }

  async revert(): Promise<NetworkReport> {
    this.#mustBeOnTrial();
    await told(() => this.#live.endTrial());
    return this.report();
  }

  #mustBeOnTrial(): void {
    if (this.#trial !== undefined) return;
    throw new NetworkRefused(`nothing is on trial: a change that is not confirmed within ${this.#confirmWithinMs / 1000} s goes back`);
  }

  #over(): void {
    clearTimeout(this.#trial?.timer);
    this.#trial = undefined;
  }
}

function settingsOf({ network, dhcp }: Config): NetworkSettings {
  return {
    interface: network.interface,
    address: `${network.address}/${network.prefixLength}`,
    vlan: network.vlan ?? null,
    dhcpMode: dhcp.mode,
    dhcpRange: dhcp.range === undefined ? null : `${dhcp.range.first}-${dhcp.range.last}`,
  };
}

function valuesOf(settings: NetworkSettings): readonly { readonly path: readonly string[]; readonly value: unknown }[] {
  return [
    { path: ["network", "interface"], value: settings.interface },
    { path: ["network", "address"], value: settings.address },
    { path: ["network", "vlan"], value: settings.vlan },
    { path: ["dhcp", "mode"], value: settings.dhcpMode },
    { path: ["dhcp", "range"], value: settings.dhcpRange },
  ];
}

/** What a person wrote is theirs to hear of. */
async function told(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if ((cause as { readonly code?: unknown }).code !== "ERR_CONFIG_REFUSED") throw cause;
    throw new NetworkRefused((cause as Error).message, { cause });
  }
}
