import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { kickstart, RHEL, rescueKickstart } from "../../../src/boot/install/kickstart.ts";
import type { InstallRequest } from "../../../src/boot/install/request.ts";
import { parseKickstartSnippet } from "../../../src/boot/install/snippet.ts";
import { parseIpv4 } from "../../../src/machine/identifiers.ts";
import { FACTS, machine, SERVER } from "../support.ts";
import { CHAP, request, rhel } from "./support.ts";

/** Options by command by version, and kickstarts that pykickstart has read: see the .info beside them. */
const VECTORS = join(import.meta.dirname, "../../vectors/kickstart");
const SYNTAX = JSON.parse(readFileSync(join(VECTORS, "syntax.json"), "utf8")) as Readonly<
  Record<string, Readonly<Record<string, readonly string[]>>>
>;

const DISK = "disk/by-path/ip-172.16.0.1:3260-iscsi-iqn.2026-01.lan.rackboot:uqbar-lun-0";
const TWO_PATHS = { ...FACTS, portals: [SERVER, parseIpv4("172.16.1.1")] as const };
const PROFILE = parseKickstartSnippet(
  "rootpw --plaintext letmein\ntimezone Europe/Berlin --utc\nautopart\n%packages --ignoremissing\n@core\nvim\n%end\n%post\necho hi\n%end\n",
);

const VARIANTS: Readonly<Record<string, Partial<InstallRequest>>> = {
  plain: {},
  "with CHAP": { chap: CHAP, machine: machine("uqbar", { arguments: "console=ttyS0,115200 quiet" }) },
  "on two paths": { facts: TWO_PATHS, naa: "3bcdef0123456789" },
  "with a profile": { snippet: PROFILE },
};

/** The lines of commands: what stands before the first section. */
function commands(text: string): readonly string[] {
  return text
    .slice(0, text.search(/^%/m) < 0 ? undefined : text.search(/^%/m))
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
}

describe.each(Object.keys(RHEL).map(Number))("RHEL %i", (major) => {
  const all = [
    ...Object.entries(VARIANTS).map(([name, changes]) => [name, kickstart(request({ image: rhel(major), ...changes }))] as const),
    ["rescue", rescueKickstart(request({ image: rhel(major) }))] as const,
  ];

  test.each(all)("Anaconda knows every command and option of its kickstart (%s)", (_, text) => {
    const syntax = SYNTAX[`RHEL${major}`] ?? {};
    const ours = commands(text).filter((line) => !PROFILE.lines.includes(line));
    expect(ours.length).toBeGreaterThan(2);
    for (const line of ours) {
      const [command = "", ...words] = line.split(/ (?=(?:[^"]|"(?:\\.|[^"\\])*")*$)/);
      expect(Object.keys(syntax), line).toContain(command);
      for (const word of words) if (word.startsWith("--")) expect(syntax[command], line).toContain(word.split("=")[0]);
    }
    const sections = text.match(/^%(?!end)\w+/gm) ?? [];
    expect(text.match(/^%end$/gm) ?? []).toHaveLength(sections.length);
  });

  test.each(all)("it is the one that Anaconda's own parser has read (%s)", async (name, text) => {
    await expect(text).toMatchFileSnapshot(join(VECTORS, `rhel-${major}-${name.replaceAll(" ", "-")}.ks`));
  });
});

test("a machine finds its target before anything is said of disks, and no other disk is touched", () => {
  const order = commands(kickstart(request())).map((line) => line.split(" ")[0]);
  expect(order.slice(order.indexOf("iscsiname"))).toEqual([
    ...["iscsiname", "iscsi", "ignoredisk", "zerombr", "clearpart", "bootloader"],
    ...["part", "part", "part", "volgroup", "logvol"],
  ]);
  const text = kickstart(request());
  expect(text).toContain("iscsiname iqn.1994-05.com.redhat:uqbar\n");
  expect(text).toContain("iscsi --ipaddr=172.16.0.1 --port=3260 --target=iqn.2026-01.lan.rackboot:uqbar\n");
  expect(text).toContain(`ignoredisk --only-use=${DISK}\n`);
  for (const mount of ["/boot/efi --fstype=efi", "/boot --fstype=xfs"])
    expect(text).toMatch(new RegExp(`^part ${mount} .*--ondisk=${DISK}$`, "m"));
  expect(text).toContain("url --url=http://172.16.0.1/uqbar/tree/\n");
});

test("the secrets of both directions are there where the machine has some, each as one word, and nowhere else", () => {
  expect(kickstart(request())).not.toContain("--password");
  const text = kickstart(request({ chap: CHAP }));
  expect(text).toContain(
    '--user=uqbar --password="a \\"b\\" c\\\\d $(reboot) é" --reverse-user=rack --reverse-password="another one\'s secret"\n',
  );
  expect(text.slice(text.indexOf("%packages"))).not.toContain("reboot) é");
});

test("a root disk on one path is waited for, one on two paths fails over", () => {
  const one = kickstart(request());
  expect(one).toContain("echo 'node.session.timeo.replacement_timeout = 86400' >>/etc/iscsi/iscsid.conf");
  expect(one).toContain("echo 'node.conn[0].timeo.noop_out_interval = 0'");
  const two = kickstart(request({ facts: TWO_PATHS, naa: "3bcdef0123456789" }));
  expect(two).toContain("echo 'node.session.timeo.replacement_timeout = 15'");
  expect(two).toContain("ignoredisk --only-use=disk/by-id/dm-uuid-mpath-33bcdef0123456789\n");
  expect(two).toContain("iscsi --ipaddr=172.16.1.1 ");
  expect(two).toContain("\ndevice-mapper-multipath\n");
});

test("the initramfs is for any machine of the rack, with what attaches an iSCSI root", () => {
  expect(kickstart(request({ image: rhel(8) }))).toContain('hostonly="no"\nadd_dracutmodules+=" network network-legacy iscsi "\n');
  expect(kickstart(request({ image: rhel(10) }))).toContain('add_dracutmodules+=" network network-manager iscsi "\n');
  expect(kickstart(request())).toContain("\ndracut-network\niscsi-initiator-utils\n");
});

test("the entries of the installed system name no network card of the machine that it was installed on", () => {
  expect(kickstart(request())).toContain('grubby --update-kernel=ALL --remove-args="ip ifname netroot rd.iscsi.initiator"\n');
  expect(kickstart(request({ chap: CHAP }))).toContain('grubby --update-kernel=ALL --remove-args="ip ifname"\n');
});

test("what a profile says takes the place of what is said otherwise, and its sections are merged in", () => {
  const text = kickstart(request({ snippet: PROFILE }));
  expect(text.match(/^rootpw .*$/gm)).toEqual(["rootpw --plaintext letmein"]);
  expect(text.match(/^timezone .*$/gm)).toEqual(["timezone Europe/Berlin --utc"]);
  expect(text).not.toMatch(/^(part|logvol|volgroup) /m);
  expect(text).toContain("%packages --ignoremissing\n@core\nvim\ndracut-network\n");
  expect(text).not.toContain("@^minimal-environment");
  expect(text).toContain("\n%post\necho hi\n%end\n");
});

test("the installation is over when all of it is done, and says so as the one that it is", () => {
  const text = kickstart(request({ snippet: PROFILE }));
  const ends = text.indexOf("curl -fsS -o /dev/null -X POST http://172.16.0.1/uqbar/install/t0k3n/finished");
  expect(ends).toBeGreaterThan(text.indexOf("dracut -f"));
  expect(ends).toBeGreaterThan(text.indexOf("echo hi"));
  expect(text).toContain("%onerror\ncurl -fsS -o /dev/null -X POST http://172.16.0.1/uqbar/install/t0k3n/failed\n%end\n");
});

test.each([
  ["%packages\nvim\n", "the section %packages of line 1 has no %end"],
  ["text\niscsi --ipaddr=10.0.0.1\n", "line 2 says iscsi, which follows from the machine's target; leave it out"],
  ["ignoredisk --drives=sda\n", "line 1 says ignoredisk"],
])("a profile that cannot be merged is refused with its line (%#)", (text, reason) => {
  expect(() => parseKickstartSnippet(text)).toThrow(reason);
});
