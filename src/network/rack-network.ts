import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { deviceOf, type NetworkConfig } from "../machine/config.ts";
import type { Ipv4 } from "../machine/identifiers.ts";
import type { Emit } from "../state/events.ts";
import type { Faults } from "../state/faults.ts";
import { checkInterface } from "./interface.ts";
import { LinkWatcher } from "./link.ts";
import { isDevice, ManagedNetwork } from "./manage.ts";
import { OwnAddressWatch } from "./own-address.ts";

export interface RackNetworkOptions {
  /** On a file system that ends with the power. */
  readonly runFolder: string;
  readonly emit: Emit;
  readonly faults: Faults;
}

/** The interface that faces the rack: its address where that is ours to set, a look at what it has where not, whether nobody else has it, its cable. */
export class RackNetwork {
  readonly #options: RackNetworkOptions;
  readonly #managed: ManagedNetwork;
  #link: LinkWatcher | undefined;
  #own: OwnAddressWatch | undefined;

  constructor(options: RackNetworkOptions) {
    this.#options = options;
    this.#managed = new ManagedNetwork({ record: join(options.runFolder, "network.json") });
  }

  /** The address is there afterwards, beside those before. Throws {@link NetworkError}. */
  async take(network: NetworkConfig): Promise<void> {
    await this.#managed.ensure(network);
    checkInterface(network, networkInterfaces(), isDevice);
  }

  /** Lets go of every other address that was set here, also by a daemon that was killed; its cable is what is watched. */
  async settle(network: NetworkConfig): Promise<void> {
    await this.#managed.retire(network);
    const device = deviceOf(network);
    this.#watchOwn(device, network.address);
    if (this.#link?.device === device) return;
    if (this.#link !== undefined) this.#options.faults.clear("no-link", this.#link.device);
    this.#link?.stop();
    this.#link = new LinkWatcher(device, { emit: this.#options.emit });
    this.#link.start();
  }

  stop(): void {
    this.#link?.stop();
    this.#link = undefined;
    this.#own?.stop();
    this.#own = undefined;
  }

  #watchOwn(device: string, address: Ipv4): void {
    const watch = new OwnAddressWatch({ device, address, emit: this.#options.emit });
    if (watch.key === this.#own?.key) return;
    this.#own?.stop();
    this.#own = watch;
    watch.start();
  }
}
