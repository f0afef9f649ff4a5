import { describe, expect, it } from "vitest";
import { parseIpv4 } from "../../src/machine/identifiers.ts";
import { checkInterface } from "../../src/network/interface.ts";

const entry = (address: string) => ({ address, netmask: "255.255.255.0", family: "IPv4" as const, mac: "", internal: false, cidr: null });
const present = { lo: [entry("127.0.0.1")], eth0: [entry("172.16.0.1")] };
const wanted = (name: string, address: string) => ({ interface: name, address: parseIpv4(address), prefixLength: 24, manage: false });
const absent = (): boolean => false;

describe("the interface that faces the rack", () => {
  it("is accepted with the address that it has, and the loopback with any of its own", () => {
    checkInterface(wanted("eth0", "172.16.0.1"), present, absent);
    checkInterface(wanted("lo", "127.0.0.7"), present, absent);
  });

  it("may be without a carrier: the switch, or the machines, may come up later", () => {
    checkInterface(wanted("br0", "172.16.0.1"), present, (device) => device === "br0");
  });

  it("tells a person which interfaces there are when the name is wrong", () => {
    expect(() => checkInterface(wanted("eth1", "172.16.0.1"), present, absent)).toThrow(
      /no interface eth1 .*lo, eth0.*ip address add 172\.16\.0\.1\/24 dev eth1/,
    );
  });

  it("is the VLAN's own where there is a VLAN, as DHCP is bound to that", () => {
    const tagged = { ...wanted("eth0", "172.16.0.1"), vlan: 20 };
    checkInterface(tagged, { "eth0.20": present.eth0 }, absent);
    expect(() => checkInterface(tagged, present, absent)).toThrow(
      /no interface eth0\.20 .*ip link add link eth0 name eth0\.20 type vlan id 20; ip address add 172\.16\.0\.1\/24 dev eth0\.20/,
    );
  });

  it("tells a person which address it has when that is wrong", () => {
    expect(() => checkInterface(wanted("eth0", "10.0.0.1"), present, absent)).toThrow(/eth0 has 172\.16\.0\.1, not 10\.0\.0\.1/);
  });
});
