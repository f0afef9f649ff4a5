import { BackgroundProcess, type ProcessOptions, type Result, run, runOrThrow } from "./process.ts";
import type { Resources } from "./resources.ts";

/** The rack's switch in there: a bridge with the server's address, and a tap for every machine. */
export const BRIDGE = "rack0";
export const SERVER_ADDRESS = "172.16.0.1";
const PREFIX_LENGTH = 24;

/**
 * A network of our own, kept alive by one process and gone with the last process in it; nothing of it has a name that
 * could be left over. Without root it lives in a user namespace of its own.
 */
export class NetworkNamespace {
  /** What stands before a command that shall run in here. */
  readonly prefix: readonly string[];
  #taps = 0;

  private constructor(prefix: readonly string[]) {
    this.prefix = prefix;
  }

  /** With {@link BRIDGE} up at `address`. Throws where the system allows no namespaces. */
  static async create(resources: Resources, address: string = SERVER_ADDRESS): Promise<NetworkNamespace> {
    const root = process.getuid?.() === 0;
    const user = root ? [] : ["--map-root-user"];
    const holder = new BackgroundProcess(resources, ["unshare", ...user, "--net", "--", "sh", "-c", "echo ready; exec sleep infinity"]);
    try {
      await holder.output.waitFor(/ready\n/, 10_000);
    } catch (error) {
      throw new Error(`No network namespace can be made here; run this as root${root ? " with CAP_SYS_ADMIN" : ""}.`, { cause: error });
    }
    const join = root ? [] : ["--user", "--preserve-credentials"];
    const namespace = new NetworkNamespace(["nsenter", "--target", String(holder.pid), ...join, "--net", "--"]);
    await namespace.#ip("link set lo up");
    await namespace.#ip(`link add ${BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`);
    await namespace.#ip(`address add ${address}/${PREFIX_LENGTH} dev ${BRIDGE}`);
    await namespace.#ip(`link set ${BRIDGE} up`);
    return namespace;
  }

  /** A new port of the switch, for one machine; returns its interface's name. */
  async addTap(): Promise<string> {
    const name = `tap${this.#taps++}`;
    await this.#ip(`tuntap add dev ${name} mode tap`);
    await this.#ip(`link set ${name} master ${BRIDGE} up`);
    return name;
  }

  start(resources: Resources, command: readonly string[], options: Omit<ProcessOptions, "prefix"> = {}): BackgroundProcess {
    return new BackgroundProcess(resources, command, { ...options, prefix: this.prefix });
  }

  run(command: readonly string[], options: Omit<ProcessOptions, "prefix"> & { readonly timeoutMs?: number } = {}): Promise<Result> {
    return run(command, { ...options, prefix: this.prefix });
  }

  /** A port of the loopback outside that leads to `target` (ADDRESS:PORT) in here; returns it as ADDRESS:PORT. */
  async relay(resources: Resources, target: string): Promise<string> {
    const inside = [...this.prefix, "socat", "STDIO", `TCP:${target}`].join(" ");
    const relay = new BackgroundProcess(resources, ["socat", "-d", "-d", "TCP-LISTEN:0,bind=127.0.0.1,fork", `EXEC:'${inside}'`]);
    const [, port] = await relay.output.waitFor(/listening on .*:(\d+)\n/, 10_000);
    return `127.0.0.1:${port}`;
  }

  async #ip(words: string): Promise<void> {
    await runOrThrow(["ip", ...words.split(" ")], { prefix: this.prefix });
  }
}
