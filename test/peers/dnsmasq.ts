import { join } from "node:path";
import type { NetworkNamespace } from "../harness/netns.ts";
import type { Resources } from "../harness/resources.ts";
import { Client } from "./dhcp-client.ts";

export const OTHER_SERVER = "172.16.0.66";
/** The one address that it hands out. */
export const GIVEN = "172.16.0.210";

/** dnsmasq on a port of the switch of its own, as the server that a network has already: it hands out an address, and nothing to boot. */
export async function startOtherServer(resources: Resources, box: NetworkNamespace, folder: string): Promise<void> {
  const other = await Client.plugIn({ resources, box, folder }, "dnsmasq0", "52:54:00:16:00:66");
  await other.run(["ip", "address", "add", `${OTHER_SERVER}/24`, "dev", "eth0"]);
  const quiet = "--keep-in-foreground --conf-file=/dev/null --port=0 --user=root --pid-file= --no-ping --log-facility=-".split(" ");
  const leases = `--dhcp-leasefile=${join(folder, "dnsmasq.leases")}`;
  const server = other.start(["dnsmasq", ...quiet, "--interface=eth0", `--dhcp-range=${GIVEN},${GIVEN},1h`, leases]);
  await server.output.waitFor(/DHCP, IP range/, 15_000);
}
