import { LEASES } from "../../src/dhcp/lease-database.ts";
import { openLeaseStore } from "../../src/dhcp/lease-store.ts";
import { DhcpServer } from "../../src/dhcp/server.ts";
import { parseIpv4 } from "../../src/machine/identifiers.ts";
import { Rack } from "../../src/machine/rack.ts";
import { openDatabase } from "../../src/state/database.ts";
import { DHCP, HOUR_MS, machine, SERVER, UQBAR } from "../dhcp/support.ts";

/**
 * The DHCP service alone, as a process that can be put into a network namespace and killed there.
 * Arguments: interface, folder of the lease database. Events go to the standard output, one JSON object a line.
 */
const [device = "", folder = ""] = process.argv.slice(2);
const store = openLeaseStore(openDatabase(folder, LEASES).database);
const server = new DhcpServer({
  config: {
    network: { interface: device, address: SERVER, prefixLength: 24, manage: false },
    dhcp: {
      ...DHCP,
      range: { first: parseIpv4("172.16.0.100"), last: parseIpv4("172.16.0.199") },
      leaseMs: HOUR_MS,
      router: SERVER,
      domain: "rack.example",
      // More than the options field holds: some of it travels in file and sname.
      options: new Map([
        [224, new Uint8Array(110).fill(0x41)],
        [225, new Uint8Array(100).fill(0x42)],
        [226, new Uint8Array(60).fill(0x43)],
      ]),
    },
  },
  rack: new Rack([machine("uqbar", UQBAR, { address: parseIpv4("172.16.0.16") })]),
  store,
  bootOffer: () => ({ file: "grubx64.efi" }),
  watchEveryMs: 1000,
  emit: (event) => process.stdout.write(`${JSON.stringify(event)}\n`),
});
process.once("SIGTERM", () => {
  server
    .stop()
    .then(() => store.close())
    .then(() => process.exit(0));
});
await server.start();
