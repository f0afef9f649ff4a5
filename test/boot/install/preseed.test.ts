import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { preseed, preseedArguments } from "../../../src/boot/install/preseed.ts";
import { parsePreseedSnippet } from "../../../src/boot/install/snippet.ts";
import { parseIpv4 } from "../../../src/machine/identifiers.ts";
import { FACTS, SERVER } from "../support.ts";
import { CHAP, debian, request } from "./support.ts";

const answers = (changes: Parameters<typeof request>[0] = {}): string => preseed(request({ image: debian(), ...changes }));

/** The value of a question, as debconf-set-selections reads it: a backslash at the end of a line joins the next one to it. */
function answer(text: string, question: string): string {
  const lines = text.replaceAll(/\\\n\s*/g, "").split("\n");
  return lines.findLast((line) => line.split(/\s+/)[1] === question)?.replace(/^\S+\s+\S+\s+\S+ ?/, "") ?? "(not answered)";
}

/** What a shell makes of the words of one program's commands. */
function shellSays(commands: string, program: string): readonly string[] {
  const ofProgram = commands.split("; ").filter((each) => each.startsWith(`${program} `));
  const script = `${program}() { printf '%s\\n' "$*"; }; ${ofProgram.join("; ")}`;
  return execFileSync("busybox", ["sh", "-c", script], { encoding: "utf8" }).trimEnd().split("\n");
}

test("every line answers one question with its type, or is a comment", () => {
  for (const line of answers({ chap: CHAP })
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")) {
    if (line !== "" && !line.startsWith("#"))
      expect(line).toMatch(/^\S+ [a-z-]+\/\S+ (string|select|multiselect|boolean|password|note)( |$)/);
  }
});

test("the machine is logged in to its target before there are disks to choose from, and that disk is chosen", () => {
  const text = answers();
  expect(answer(text, "anna/choose_modules")).toContain("open-iscsi-udeb");
  expect(answer(text, "disk-detect/module_select")).toBe("continue with no disk drive");
  const early = answer(text, "partman/early_command");
  const node = "-m node -T iqn.2026-01.lan.rackboot:uqbar -p 172.16.0.1:3260,1";
  const said = shellSays(early, "iscsiadm");
  expect(said[0]).toBe(`${node} -o new`);
  expect(early).toContain("echo 'node.session.timeo.replacement_timeout = 86400' >>/etc/iscsi/iscsid.conf; ");
  expect(said.at(-1)).toBe(`${node} --login`);
  expect(early).toContain("echo InitiatorName=iqn.1994-05.com.redhat:uqbar >/etc/iscsi/initiatorname.iscsi");
  expect(early).toContain("/dev/disk/by-path/ip-172.16.0.1:3260-iscsi-iqn.2026-01.lan.rackboot:uqbar-lun-0");
});

test("secrets are what they are, whatever a shell would make of them, and only there where a machine has some", () => {
  expect(answers()).not.toContain("session.auth");
  const said = shellSays(answer(answers({ chap: CHAP }), "partman/early_command"), "iscsiadm");
  const values = said.flatMap((line) => / -n (node\.session\.auth\.\S+) -v (.*)$/.exec(line)?.slice(1).join("=") ?? []);
  expect(values).toEqual([
    "node.session.auth.authmethod=CHAP",
    "node.session.auth.username=uqbar",
    `node.session.auth.password=${CHAP.secret}`,
    "node.session.auth.username_in=rack",
    `node.session.auth.password_in=${CHAP.mutual.secret}`,
  ]);
});

test("two paths are two nodes, and one of them fails over to the other", () => {
  const early = answer(answers({ facts: { ...FACTS, portals: [SERVER, parseIpv4("172.16.1.1")] } }), "partman/early_command");
  expect(shellSays(early, "iscsiadm").filter((line) => line.endsWith("--login"))).toHaveLength(2);
  expect(early).toContain("replacement_timeout = 15'");
});

test("packages come from the image where it has some, and from wherever the profile says where it has none", () => {
  expect(answer(answers(), "mirror/http/directory")).toBe("/uqbar/tree");
  expect(answer(answers({ facts: { ...FACTS, httpPort: 8080 } }), "mirror/http/hostname")).toBe("172.16.0.1:8080");
  expect(answers({ image: debian({ packages: false }) })).not.toContain("mirror/http");
});

test("what a profile answers wins", () => {
  const snippet = parsePreseedSnippet("d-i time/zone string Europe/Berlin\n\n");
  expect(answer(answers({ snippet }), "time/zone")).toBe("Europe/Berlin");
});

test("the last step of all, behind the file systems, says that it is over", () => {
  const early = answer(answers(), "preseed/early_command");
  expect(early).toContain(">/usr/lib/finish-install.d/96rackboot");
  const script = execFileSync("busybox", ["sh", "-c", early.split(";")[0]?.replace(/ >\/.*$/, "") ?? ""], { encoding: "utf8" });
  expect(script).toBe("#!/bin/sh\nsync\nwget -q -O /dev/null --post-data= http://172.16.0.1/uqbar/install/t0k3n/finished\n");
});

test("what is asked before any answer can be fetched is on the kernel line", () => {
  const line = preseedArguments("http://172.16.0.1/uqbar/install/preseed.cfg", "uqbar");
  expect(line).toContain("auto=true priority=critical url=http://172.16.0.1/uqbar/install/preseed.cfg hostname=uqbar");
  expect(line).toContain("netcfg/no_default_route=true");
});
