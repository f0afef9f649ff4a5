import { join } from "node:path";
import { BRIDGE, type NetworkNamespace } from "../harness/netns.ts";
import { BackgroundProcess, type Result, run, runOrThrow } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";

/** Where a client is plugged in. */
export interface ClientPlace {
  readonly resources: Resources;
  readonly box: NetworkNamespace;
  /** For files that clients leave. */
  readonly folder: string;
}

/** A machine's network namespace with one port, `eth0`, behind a port of the rack's switch. */
export class Client {
  readonly #place: ClientPlace;
  readonly #port: string;
  readonly #prefix: readonly string[];

  private constructor(place: ClientPlace, port: string, prefix: readonly string[]) {
    this.#place = place;
    this.#port = port;
    this.#prefix = prefix;
  }

  static async plugIn(place: ClientPlace, port: string, mac: string, network: "rack" | "other" = "rack"): Promise<Client> {
    const { box, resources } = place;
    const holder = box.start(resources, ["unshare", "--net", "--", "sh", "-c", "echo ready; exec sleep infinity"]);
    await holder.output.waitFor(/ready\n/, 10_000);
    const client = new Client(place, port, [...box.prefix, "nsenter", "--target", String(holder.pid), "--net", "--"]);
    const ip = (words: string): Promise<string> => runOrThrow(["ip", ...words.split(" ")], { prefix: box.prefix });
    await ip(`link add ${port} type veth peer name eth0 netns ${holder.pid}`);
    if (network === "rack") await ip(`link set ${port} master ${BRIDGE}`);
    else await ip(`address add 192.168.9.1/24 dev ${port}`);
    await ip(`link set ${port} up`);
    await client.run(["ip", "link", "set", "lo", "up"]);
    await client.run(["ip", "link", "set", "eth0", "address", mac, "up"]);
    return client;
  }

  run(command: readonly string[]): Promise<Result> {
    return run(command, { prefix: this.#prefix, timeoutMs: 60_000 });
  }

  start(command: readonly string[]): BackgroundProcess {
    return new BackgroundProcess(this.#place.resources, command, { prefix: this.#prefix });
  }

  /** As {@link start}, on a system of its own: nothing in /run or /var/lib, and a /sys of this namespace that says there is no udev. */
  boot(script: string): BackgroundProcess {
    // The name servers of the machine that tests are no client's to change.
    const names = "touch /run/names; if [ -e /etc/resolv.conf ]; then mount --bind /run/names /etc/resolv.conf; fi";
    const mounts = `mount -t tmpfs run /run; mount -t tmpfs lib /var/lib; mount -t sysfs -o ro sys /sys; mkdir -p /run/dbus /run/lock; ${names}`;
    return this.start(["unshare", "--mount", "--", "sh", "-ec", `${mounts}\n${script}`]);
  }

  /** The address that the interface has; throws where it gets none in time. */
  async address(): Promise<string> {
    for (let tries = 0; tries < 40; tries++) {
      const found = / inet (172\.16\.0\.\d+)\/24 /.exec((await this.run(["ip", "-4", "-o", "address", "show", "dev", "eth0"])).stdout)?.[1];
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    throw new Error(`${this.#port} got no address`);
  }

  /** It stays behind as a daemon of its own, which ends with the test. */
  dhclient(...more: readonly string[]): Promise<Result> {
    const { folder, resources } = this.#place;
    const files = ["-sf", "/bin/true", "-lf", join(folder, `${this.#port}.leases`), "-pf", join(folder, `${this.#port}.pid`)];
    resources.defer("dhclient", async () => {
      await this.run(["dhclient", "-x", ...files, "eth0"]);
    });
    return this.run(["dhclient", "-4", "-1", "-v", ...files, ...more, "eth0"]);
  }

  udhcpc(...more: readonly string[]): Promise<Result> {
    return this.run(["busybox", "udhcpc", "-f", "-n", "-q", "-t", "3", "-T", "1", "-s", "/bin/true", "-i", "eth0", ...more]);
  }
}
