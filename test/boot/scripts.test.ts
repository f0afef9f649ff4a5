import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { grubConfig, quote } from "../../src/boot/grub-config.ts";
import { ipxeScript } from "../../src/boot/ipxe-script.ts";
import { type BootPlan, configuredPlan, nothing } from "../../src/boot/plan.ts";
import { pxelinuxConfig } from "../../src/boot/pxelinux-config.ts";
import type { ImageName } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { FACTS, kernelBoot, machine } from "./support.ts";

function grub(of: Machine, http = false): string {
  return grubConfig(of, bootPlan(of), FACTS, { http });
}
function ipxe(of: Machine, facts = FACTS): string {
  return ipxeScript(of, bootPlan(of), facts);
}

function bootPlan(of: Machine): BootPlan {
  return configuredPlan(of) ?? nothing("its disk is empty:", ["it's all zeroes"]);
}

/** What can be written in a configuration and means something to a script. */
const NASTY = `a'b ; reboot $x \${net0/ip} "c d" {e} <f> #g \\h | i & j`;

describe("grub.cfg", () => {
  test("boots the machine's kernel from the server that it names, with the line that finds its disk", () => {
    const text = grub(machine());
    expect(text).toContain("linux $server/uqbar/vmlinuz root=LABEL=root ro netroot=iscsi:172.16.0.1::3260::iqn");
    expect(text).toContain("initrd $server/uqbar/initrd");
    expect(text).toContain("for server in '(tftp,172.16.0.1)'; do");
  });

  test("takes HTTP where GRUB has it, and falls back to TFTP", () => {
    expect(grub(machine(), true)).toContain("for server in '(http,172.16.0.1)' '(tftp,172.16.0.1)'; do");
    const text = grubConfig(machine(), bootPlan(machine()), { ...FACTS, httpPort: 8080 }, { http: true });
    expect(text).toContain("'(http,172.16.0.1:8080)'");
  });

  test("writes to the serial port that the kernel writes to, and to the screen when the kernel does", () => {
    expect(grub(machine())).not.toContain("serial");
    expect(grub(machine("uqbar", { arguments: "console=ttyS1,57600" }))).toContain("serial --unit=1 --speed=57600");
    expect(grub(machine("uqbar", { arguments: "console=ttyS0" }))).toContain("terminal_output serial\n");
    expect(grub(machine("uqbar", { arguments: "console=tty0 console=ttyS0" }))).toContain("terminal_output serial console\n");
  });

  test("tells on the screen why there is nothing to boot, and tries again", () => {
    const text = grub(machine("uqbar", { boot: { kind: "disk", via: "loader" } }));
    expect(text).toContain("its disk is empty:");
    expect(text).toContain("reboot");
  });

  test("lets a machine with boot: local go on to its own disk", () => {
    expect(grub(machine("uqbar", { boot: { kind: "local" } }))).toContain("exit\n");
  });

  test
    .skipIf(!existsSync("/usr/bin/grub-script-check"))
    .each([
      machine(),
      machine("uqbar", { arguments: `console=ttyS0 ${NASTY}` }),
      machine("uqbar", { boot: kernelBoot({ kernel: "/srv/it's a {kernel}; reboot", arguments: NASTY }) }),
      machine("uqbar", { boot: { kind: "local" } }),
      machine("uqbar", { boot: { kind: "disk", via: "loader" } }),
      machine("uqbar", { boot: { kind: "rescue", image: 'it\'s "x"' as ImageName } }),
    ])("is accepted by grub-script-check (%#)", (each) => {
    execFileSync("grub-script-check", { input: grub(each, true) });
  });

  test("reads nothing that a configuration holds as GRUB's language", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(unquote(quote(text))).toBe(text.replaceAll(/[\r\n]+/g, " "));
      }),
    );
  });
});

describe("PXELINUX menu", () => {
  const menu = (of: Machine, plan = bootPlan(of)): string[] => pxelinuxConfig(of, plan, FACTS).split("\n");

  test("boots the machine's kernel by names that hold in whatever folder it looks, with the line that finds its disk", () => {
    const lines = menu(machine());
    expect(lines).toContain("DEFAULT entry-0");
    expect(lines).toContain("KERNEL vmlinuz");
    expect(lines).toContain("INITRD initrd");
    expect(lines.find((line) => line.startsWith("APPEND "))).toMatch(/^APPEND root=LABEL=root ro netroot=iscsi:172\.16\.0\.1::3260::iqn/);
  });

  test("says in its title why there is nothing to boot", () => {
    expect(menu(machine("uqbar", { boot: { kind: "disk", via: "loader" } }))).toContain("MENU TITLE rackboot: its disk is empty:");
    expect(menu(machine("uqbar", { boot: { kind: "local" } }))).toContain("LOCALBOOT -1");
  });

  test("has no line that a configuration holds", () => {
    const plain = menu(machine()).length;
    expect(menu(machine("uqbar", { arguments: "a\nDEFAULT x\r\nb" })).length).toBe(plain);
    const plan = bootPlan(machine());
    if (plan.kind !== "kernel") throw new Error("no kernel");
    const titled = { ...plan, notes: ["a\nDEFAULT x"], entries: [{ ...plan.entries[0], title: "a\nDEFAULT x" }] as const };
    expect(menu(machine(), titled).length).toBe(plain);
  });
});

describe("iPXE script", () => {
  test("boots the machine's kernel over HTTP, and over TFTP where that fails", () => {
    const lines = ipxe(machine()).split("\n");
    expect(lines[0]).toBe("#!ipxe");
    const kernel = lines.find((line) => line.startsWith("kernel"));
    expect(kernel).toMatch(/^kernel --name vmlinuz http:\/\/172\.16\.0\.1\/uqbar\/vmlinuz initrd=initrd root=LABEL=root ro netroot=/);
    expect(kernel).toMatch(/\|\| kernel --name vmlinuz tftp:\/\/172\.16\.0\.1\/uqbar\/vmlinuz .* \|\| goto failed$/);
    expect(lines).toContain("set initiator-iqn iqn.1994-05.com.redhat:uqbar");
  });

  test("names ports that are not the usual ones", () => {
    const text = ipxe(machine(), { ...FACTS, httpPort: 8080, tftpPort: 6969 });
    expect(text).toContain("http://172.16.0.1:8080/uqbar/vmlinuz");
    expect(text).toContain("tftp://172.16.0.1:6969/uqbar/vmlinuz");
  });

  test("keeps quoted arguments together and expands no setting of theirs", () => {
    const text = ipxe(machine("uqbar", { arguments: `dyndbg="file x +p" a=\${net0/ip} b=$c` }));
    expect(text).toContain(`"dyndbg=file x +p" a=\${dollar}{net0/ip} b=$c`);
  });

  test("starts the loader that is on the disk for a machine that boots from it", () => {
    const text = ipxe(machine("uqbar", { boot: { kind: "disk", via: "sanboot" } }));
    expect(text).toContain("sanboot --drive 0x80 iscsi:172.16.0.1:6:3260:0:iqn.2026-01.lan.rackboot:uqbar || goto failed");
  });

  test("proves itself to the disk where it must, and to nothing else", () => {
    const disk = machine("uqbar", { boot: { kind: "disk", via: "sanboot" } });
    const chap = { user: "uqbar", secret: `a \${secret} of mine`, mutual: { user: "rack", secret: "another secret" } };
    const script = ipxeScript(disk, bootPlan(disk), FACTS, chap).split("\n");
    const from = script.indexOf("set username uqbar");
    expect(script.slice(from, from + 4)).toEqual([
      "set username uqbar",
      `set password a \${dollar}{secret} of mine`,
      "set reverse-username rack",
      "set reverse-password another secret",
    ]);
    expect(ipxeScript(machine(), bootPlan(machine()), FACTS, chap)).not.toContain("secret");
  });

  test("is one command a line, whatever a configuration holds", () => {
    const plain = ipxe(machine()).split("\n").length;
    expect(ipxe(machine("uqbar", { arguments: "a\nreboot\r\nb" })).split("\n").length).toBe(plain);
  });
});

/** How GRUB's lexer reads one word of single-quoted and escaped pieces. */
function unquote(word: string): string {
  let text = "";
  let quoted = false;
  for (let at = 0; at < word.length; at++) {
    const character = word.charAt(at);
    if (character === "'") quoted = !quoted;
    else if (character === "\\" && !quoted) text += word.charAt(++at);
    else text += character;
  }
  expect(quoted).toBe(false);
  return text;
}
