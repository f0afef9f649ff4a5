import { expect, test } from "vitest";
import { kernelLine, kernelWords, serialConsole, wantsFirmwareTable } from "../../src/boot/kernel-line.ts";
import { parseIpv4, parseIqn } from "../../src/machine/identifiers.ts";
import { FACTS, machine } from "./support.ts";

const NETROOT = "netroot=iscsi:172.16.0.1::3260::iqn.2026-01.lan.rackboot:uqbar";
const INITIATOR = "rd.iscsi.initiator=iqn.1994-05.com.redhat:uqbar";

test("an initramfs is told where its disk is, who it is and to ask for an address", () => {
  expect(kernelLine(machine(), "root=LABEL=root ro", FACTS).join(" ")).toBe(`root=LABEL=root ro ${NETROOT} ${INITIATOR} ip=dhcp`);
});

test("the portal, the port and the first initiator are those of the configuration", () => {
  const facts = { ...FACTS, portals: [parseIpv4("10.0.0.1"), parseIpv4("10.0.1.1")] as const, iscsiPort: 3261 };
  const line = kernelLine(machine("uqbar", { initiators: [parseIqn("iqn.2026-01.a:1"), parseIqn("iqn.2026-01.a:2")] }), "", facts);
  expect(line).toEqual(["netroot=iscsi:10.0.0.1::3261::iqn.2026-01.lan.rackboot:uqbar", "rd.iscsi.initiator=iqn.2026-01.a:1", "ip=dhcp"]);
});

test.each([
  ["netroot=iscsi:10.0.0.9::::iqn.2026-01.a:b", `${INITIATOR} ip=dhcp`],
  ["root=iscsi:10.0.0.9::::iqn.2026-01.a:b", `${INITIATOR} ip=dhcp`],
  ["rd.iscsi.initiator=iqn.2026-01.a:b", `${NETROOT} ip=dhcp`],
  ["iscsi_initiator=iqn.2026-01.a:b", `${NETROOT} ip=dhcp`],
  ["ip=eth0:dhcp", `${NETROOT} ${INITIATOR}`],
  ["ip=ibft rd.iscsi.firmware=1", ""],
  ["rd.iscsi.firmware", "ip=dhcp"],
  ["rd.iscsi.firmware=0 ip=x", `${NETROOT} ${INITIATOR}`],
])("what %s says already is not added again", (line, added) => {
  expect(kernelLine(machine(), line, FACTS).join(" ")).toBe(`${line} ${added}`.trim());
});

test("the machine's own arguments are appended, and count as said", () => {
  const line = kernelLine(machine("uqbar", { arguments: "console=ttyS0 ip=eno1:dhcp" }), "ro", FACTS);
  expect(line).toEqual(["ro", "console=ttyS0", "ip=eno1:dhcp", NETROOT, INITIATOR]);
});

test("nothing is added behind the dashes that end the kernel's part", () => {
  const line = kernelLine(machine("uqbar", { arguments: "quiet" }), "ro -- single", FACTS);
  expect(line).toEqual(["ro", "quiet", NETROOT, INITIATOR, "ip=dhcp", "--", "single"]);
});

test("a machine without disks is told of none", () => {
  expect(kernelLine(machine("uqbar", { disks: [] }), "ro", FACTS)).toEqual(["ro"]);
});

test.each([
  [" a  b\tc\nd ", ["a", "b", "c", "d"]],
  ['dyndbg="file x.c +p" b', ["dyndbg=file x.c +p", "b"]],
  ['"a b" c', ["a b", "c"]],
  ['a="unended b', ["a=unended b"]],
  ["", []],
  ['""', []],
])("%j is taken apart as the kernel does", (text, words) => {
  expect(kernelWords(text)).toEqual(words);
});

test.each([
  ["console=ttyS0", { unit: 0, speed: 115200 }],
  ["console=tty0 console=ttyS1,9600n8", { unit: 1, speed: 9600 }],
  ["console=tty0", undefined],
  ["xconsole=ttyS0", undefined],
])("the serial console of %s is %j", (line, expected) => {
  expect(serialConsole(line.split(" "))).toEqual(expected);
});

test("a line that reads the iBFT is told from one that does not", () => {
  expect(wantsFirmwareTable(["rd.iscsi.firmware=1"])).toBe(true);
  expect(wantsFirmwareTable(["rd.iscsi.firmware=0", "root=/dev/sda"])).toBe(false);
});
