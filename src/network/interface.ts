import type { networkInterfaces } from "node:os";
import { deviceOf, type NetworkConfig } from "../machine/config.ts";

/** The configuration names an interface or address that this system does not have. The message says what it has. */
export class NetworkError extends Error {
  readonly code = "ERR_NETWORK";
}

/**
 * Throws {@link NetworkError} unless the interface, or its VLAN's, has `address`. `present` is what `os.networkInterfaces()`
 * returns: it leaves out interfaces without a carrier. One that `exists` all the same is let pass, since a board may be up
 * before its switch; where its address is wrong, the services cannot listen on it and say so.
 */
export function checkInterface(
  wanted: NetworkConfig,
  present: ReturnType<typeof networkInterfaces>,
  exists: (device: string) => boolean,
): void {
  const device = deviceOf(wanted);
  const bringUp = `${wanted.vlan === undefined ? "" : `ip link add link ${wanted.interface} name ${device} type vlan id ${wanted.vlan}; `}ip address add ${wanted.address}/${wanted.prefixLength} dev ${device}`;
  const addresses = present[device]?.filter(({ family }) => family === "IPv4").map(({ address }) => address);
  if (addresses === undefined && exists(device)) return;
  if (addresses === undefined) {
    const known = Object.keys(present).join(", ") || "none";
    throw new NetworkError(
      `network.interface: there is no interface ${device} with an address (those that have one: ${known}). Correct the name, or bring it up: ${bringUp}`,
    );
  }
  // The whole of 127.0.0.0/8 belongs to the loopback interface, whichever of its addresses are listed.
  if (wanted.address.startsWith("127.") && addresses.some((address) => address.startsWith("127."))) return;
  if (addresses.includes(wanted.address)) return;
  throw new NetworkError(
    `network.address: ${device} has ${addresses.join(", ") || "no IPv4 address"}, not ${wanted.address}. Correct one of them: ip address add ${wanted.address}/${wanted.prefixLength} dev ${device}`,
  );
}
