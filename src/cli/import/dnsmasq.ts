import { isIP } from "node:net";
import { ipv4ToNumber, parseIpv4, parseMac } from "../../machine/identifiers.ts";
import type { Note } from "./notes.ts";

/** One dhcp-host: what is known of a machine. */
export interface ImportedHost {
  readonly line: number;
  readonly macs: readonly string[];
  readonly name?: string;
  readonly address?: string;
}

/** What dnsmasq.conf (dnsmasq(8)) says of what rackboot does. */
export interface DnsmasqImport {
  readonly interface?: string;
  readonly address?: string;
  readonly prefixLength?: number;
  /** Keys of `dhcp` in rackboot.yaml. */
  readonly dhcp: Readonly<Record<string, unknown>>;
  readonly tftpRoot?: string;
  readonly hosts: readonly ImportedHost[];
  readonly notes: readonly Note[];
}

/** Names that dnsmasq and people use for options (dnsmasq --help dhcp), and the keys that ours has for them. */
const OPTION_NAMES: Readonly<Record<string, number>> = {
  netmask: 1,
  router: 3,
  "dns-server": 6,
  "domain-name": 15,
  "root-path": 17,
  mtu: 26,
  "ntp-server": 42,
  "tftp-server": 66,
  "bootfile-name": 67,
  "domain-search": 119,
};
const OPTION_KEYS: Readonly<Record<number, { readonly key: string; readonly shape: "one" | "list" | "number" }>> = {
  3: { key: "router", shape: "one" },
  6: { key: "dns", shape: "list" },
  15: { key: "domain", shape: "one" },
  26: { key: "mtu", shape: "number" },
  42: { key: "ntp", shape: "list" },
};
/** Options that every reply of ours has by itself. */
const OWN_OPTIONS: ReadonlySet<number> = new Set([1, 28, 51, 54, 66, 67]);

/** Keys that say nothing about what a rack is given. */
const WITHOUT_MEANING: ReadonlySet<string> = new Set(
  "enable-tftp dhcp-authoritative bind-interfaces bind-dynamic no-resolv no-hosts no-poll log-dhcp log-queries log-facility quiet-dhcp user group pid-file keep-in-foreground port domain-needed bogus-priv dhcp-leasefile dhcp-lease-max except-interface no-ping local-service strict-order expand-hosts cache-size".split(
    " ",
  ),
);
/** Which answer a client gets is found by its architecture and by its machine; what these say is never needed. */
const BY_CLIENT: ReadonlySet<string> = new Set(["dhcp-match", "dhcp-vendorclass", "dhcp-userclass", "pxe-service", "pxe-prompt", "tag-if"]);

const LEASE = /^(\d+[smhdw]?|infinite)$/;

class Reader {
  readonly dhcp: Record<string, unknown> = {};
  readonly options: Record<number, unknown> = {};
  readonly hosts: ImportedHost[] = [];
  readonly notes: Note[] = [];
  interface: string | undefined;
  address: string | undefined;
  prefixLength: number | undefined;
  tftpRoot: string | undefined;
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  note(line: number, message: string): void {
    this.notes.push({ file: this.#file, line, message });
  }

  line(line: number, text: string): void {
    const [, key = "", value = ""] = /^\s*([a-z0-9-]+)\s*(?:=\s*(.*?)\s*)?$/i.exec(text.replace(/(^|\s)#.*$/, "")) ?? [];
    if (key === "") {
      if (!/^\s*(#.*)?$/.test(text)) this.note(line, `"${text.trim()}" is no line of a dnsmasq.conf`);
      return;
    }
    const words = value.split(",").map((word) => word.trim().replace(/^"(.*)"$/, "$1"));
    switch (key) {
      case "interface":
        if (this.interface === undefined) this.interface = value;
        else this.note(line, `interface ${value}: rackboot serves one network; ${this.interface} was taken`);
        break;
      case "listen-address":
        this.address ??= words.find((word) => isIP(word) === 4 && !word.startsWith("127."));
        break;
      case "dhcp-range":
        this.#range(line, words);
        break;
      case "dhcp-host":
        this.#host(line, words);
        break;
      case "dhcp-option":
      case "dhcp-option-force":
        this.#option(line, words);
        break;
      case "dhcp-boot":
        this.#boot(line, words);
        break;
      case "domain":
        this.dhcp["domain"] = words[0];
        if (words.length > 1) this.note(line, `of "domain=${value}" only ${words[0]} is carried over: one domain for all`);
        break;
      case "tftp-root":
        this.tftpRoot = words[0];
        if (words.length > 1) this.note(line, `tftp-root for ${words.slice(1).join(",")}: there is one root for all`);
        break;
      case "conf-file":
      case "conf-dir":
        this.note(line, `${value} is not read: import it by itself`);
        break;
      case "dhcp-ignore":
        if (value === "tag:!known") this.dhcp["unknown"] = "ignore";
        else this.note(line, `dhcp-ignore=${value}: there are no tags; dhcp.unknown says what unknown machines get`);
        break;
      default:
        if (BY_CLIENT.has(key)) this.note(line, `${key}: not needed, boot files are chosen by the client's architecture`);
        else if (!WITHOUT_MEANING.has(key)) this.note(line, `${key}: there is nothing like it in rackboot`);
    }
  }

  #range(line: number, all: readonly string[]): void {
    const words = all.filter((word) => !/^(set|tag):/.test(word));
    if (words.length < all.length) this.note(line, "the tags of dhcp-range are left out: there is one range");
    const [first = "", last = "", ...more] = words;
    if (isIP(first) !== 4) {
      this.note(line, `dhcp-range=${all.join(",")}: rackboot gives IPv4 addresses only`);
      return;
    }
    if (isIP(last) === 4 && this.dhcp["range"] !== undefined) {
      this.note(line, `the range ${first}-${last} is left out: there is one range, ${String(this.dhcp["range"])}`);
      return;
    }
    const masks = more.filter((word) => isIP(word) === 4);
    if (masks[0] !== undefined) this.prefixLength = prefixOf(masks[0]);
    const lease = more.find((word) => LEASE.test(word));
    if (lease !== undefined) this.dhcp["lease"] = /^\d+$/.test(lease) ? `${lease}s` : weeksInDays(lease);
    if (last === "proxy") this.dhcp["mode"] = "proxy";
    else if (isIP(last) === 4) {
      this.dhcp["range"] = `${first}-${last}`;
      // A range of dnsmasq's is for everybody who asks, unless it says static.
      this.dhcp["unknown"] ??= "lease";
    }
  }

  #host(line: number, words: readonly string[]): void {
    const macs: string[] = [];
    let name: string | undefined;
    let address: string | undefined;
    for (const word of words) {
      const mac = macOf(word);
      if (mac !== undefined) macs.push(mac);
      else if (isIP(word) === 4) address = word;
      else if (word === "ignore") {
        this.note(line, "a dhcp-host that is ignored: leave it out, and dhcp.unknown decides");
        return;
      } else if (/^(set|tag|net):/.test(word)) this.note(line, `${word} is left out: there are no tags`);
      else if (/^id:/.test(word)) this.note(line, `${word} is left out: machines are known by their MAC addresses`);
      else if (LEASE.test(word)) {
        if (word !== "infinite") this.note(line, `the lease of ${word} is left out: machines with disks have their address for ever`);
      } else if (/^[A-Za-z0-9.-]+$/.test(word)) name = word;
      else this.note(line, `"${word}" of this dhcp-host is left out`);
    }
    if (macs.length === 0) {
      this.note(line, `dhcp-host=${words.join(",")} has no MAC address, which a machine is known by`);
      return;
    }
    this.hosts.push({ line, macs, ...(name !== undefined && { name }), ...(address !== undefined && { address }) });
  }

  #option(line: number, all: readonly string[]): void {
    const words = all.filter((word) => !/^(set|tag|encap|vi-encap|vendor):/.test(word));
    if (words.length < all.length) {
      this.note(line, `dhcp-option=${all.join(",")}: options for some clients only are left out`);
      return;
    }
    const [what = "", ...values] = words;
    const number = /^\d+$/.test(what) ? Number(what) : OPTION_NAMES[what.replace(/^option:/, "")];
    if (number === undefined) {
      this.note(line, `dhcp-option=${all.join(",")}: write it by its number under dhcp.options`);
      return;
    }
    if (OWN_OPTIONS.has(number)) {
      this.note(line, `option ${number} is left out: rackboot sends its own`);
      return;
    }
    // dnsmasq's 0.0.0.0 is the server itself.
    const own = values.map((value) => (value === "0.0.0.0" ? (this.address ?? value) : value));
    if (own.includes("0.0.0.0")) {
      this.note(line, `option ${number}: 0.0.0.0 stands for the server; write its address`);
      return;
    }
    const known = OPTION_KEYS[number];
    if (values.length === 0)
      this.note(line, `option ${number} has no value, which keeps dnsmasq from sending it; rackboot sends what is configured`);
    else if (known === undefined) this.options[number] = values.every((value) => isIP(value) === 4) ? own : own.join(",");
    else if (known.shape === "list") this.dhcp[known.key] = own;
    else this.dhcp[known.key] = known.shape === "number" ? Number(own[0]) : own[0];
  }

  #boot(line: number, all: readonly string[]): void {
    const [file = "", , server] = all.filter((word) => !/^(set|tag|net):/.test(word));
    if (server !== undefined && isIP(server) === 4) this.address ??= server;
    const where = this.tftpRoot === undefined ? "" : `; files of ${this.tftpRoot} can still be read`;
    this.note(line, `dhcp-boot ${file} is left out: a machine is handed the loader of its own disk${where}`);
  }
}

function macOf(word: string): string | undefined {
  try {
    return word.includes(":") ? parseMac(word.replace(/^(01|1)-/, "")) : undefined;
  } catch {
    return undefined;
  }
}

function prefixOf(mask: string): number {
  return 32 - Math.round(Math.log2(2 ** 32 - ipv4ToNumber(parseIpv4(mask))));
}

function weeksInDays(lease: string): string {
  return lease.endsWith("w") ? `${7 * Number.parseInt(lease, 10)}d` : lease;
}

/** Reads the lines of a dnsmasq.conf. Never throws: what is not understood is noted. */
export function readDnsmasq(text: string, file: string): DnsmasqImport {
  const reader = new Reader(file);
  for (const [index, line] of text.split("\n").entries()) reader.line(index + 1, line);
  const { dhcp, options, hosts, notes, address, prefixLength, tftpRoot } = reader;
  return {
    ...(reader.interface !== undefined && { interface: reader.interface }),
    ...(address !== undefined && { address }),
    ...(prefixLength !== undefined && { prefixLength }),
    dhcp: { ...dhcp, ...(Object.keys(options).length > 0 && { options }) },
    ...(tftpRoot !== undefined && { tftpRoot }),
    hosts,
    notes,
  };
}
