import { basename } from "node:path";
import type { CtlImport, ImportedLun, ImportedSecret, ImportedTarget } from "./ctl-conf.ts";
import type { DnsmasqImport, ImportedHost } from "./dnsmasq.ts";
import type { Note } from "./notes.ts";

/** Both files as one rack. */
export interface Combined {
  /** rackboot.yaml as plain data. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The secrets file as plain data; empty where nobody proves himself. */
  readonly secrets: Readonly<Record<string, ImportedSecret>>;
  readonly notes: readonly Note[];
}

const DEFAULT_PORT = 3260; // RFC 7143, 15
const GUESSED = { interface: "eth0", address: "172.16.0.1", prefixLength: 24 } as const;

interface Source<T> {
  readonly file: string;
  readonly content: T;
}

/** A target and the hardware that it is for meet by name: that of the dhcp-host, and what stands after the target's colon. */
export function combine(dnsmasq: Source<DnsmasqImport> | undefined, ctl: Source<CtlImport> | undefined): Combined {
  const notes: Note[] = [...(dnsmasq?.content.notes ?? []), ...(ctl?.content.notes ?? [])];
  const volumes = new Volumes(ctl?.content.targets ?? []);
  const machines: Record<string, unknown> = {};
  const secrets: Record<string, ImportedSecret> = {};
  const targets = [...(ctl?.content.targets ?? [])];
  const add = (name: string, host: ImportedHost, target: ImportedTarget | undefined): void => {
    machines[name] = machineOf(host, target, volumes);
    if (target?.chap !== undefined) secrets[name] = target.chap;
  };
  for (const host of dnsmasq?.content.hosts ?? []) {
    const name = uniqueName(machineName(host.name ?? host.macs[0] ?? ""), machines);
    const at = targets.findIndex((target) => machineName(suffixOf(target)) === name);
    const [target] = at === -1 ? [] : targets.splice(at, 1);
    if (host.name === undefined)
      notes.push({ file: dnsmasq?.file ?? "", line: host.line, message: `this machine has no name; it is called ${name}` });
    add(name, host, target);
  }
  for (const target of targets) {
    const message = `no dhcp-host is called ${machineName(suffixOf(target))}, so nobody is given this target; its disks are under volumes`;
    notes.push({ file: ctl?.file ?? "", line: target.line, message });
    for (const lun of target.luns) volumes.nameOf(lun);
  }
  const network = networkOf(dnsmasq, ctl, notes);
  const iscsi = iscsiOf(ctl?.content, network.address, Object.keys(secrets).length > 0);
  const { dhcp, tftpRoot } = dnsmasq?.content ?? { dhcp: { mode: "off" } };
  const config = {
    network: { interface: network.interface, address: `${network.address}/${network.prefixLength}` },
    dhcp,
    ...(tftpRoot !== undefined && { tftp: { root: tftpRoot } }),
    ...(Object.keys(iscsi).length > 0 && { iscsi }),
    ...(volumes.entries.size > 0 && { volumes: Object.fromEntries(volumes.entries) }),
    machines,
  };
  return { config, secrets, notes };
}

function networkOf(
  dnsmasq: Source<DnsmasqImport> | undefined,
  ctl: Source<CtlImport> | undefined,
  notes: Note[],
): { readonly interface: string; readonly address: string; readonly prefixLength: number } {
  const file = dnsmasq?.file ?? ctl?.file ?? "";
  const known = {
    interface: dnsmasq?.content.interface,
    address: dnsmasq?.content.address ?? ctl?.content.portals[0],
    prefixLength: dnsmasq?.content.prefixLength,
  };
  const missing = Object.entries(known).flatMap(([key, value]) => (value === undefined ? [key] : []));
  const guess = { ...GUESSED, ...Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)) };
  const words: Readonly<Record<string, string>> = {
    interface: `interface ${guess.interface}`,
    address: `address ${guess.address}`,
    prefixLength: `prefix length ${guess.prefixLength}`,
  };
  for (const key of missing) notes.push({ file, line: 0, message: `${words[key]} is a guess: correct it under network` });
  return guess;
}

function iscsiOf(ctl: CtlImport | undefined, address: string, hasSecrets: boolean): Readonly<Record<string, unknown>> {
  const portals = [...new Set(ctl?.portals ?? [])];
  const isDefault = portals.length === 0 || (portals.length === 1 && portals[0] === address);
  return {
    ...(ctl?.port !== undefined && ctl.port !== DEFAULT_PORT && { port: ctl.port }),
    ...(!isDefault && { portals }),
    ...(hasSecrets && { secrets: "./secrets.yaml" }),
  };
}

function machineOf(host: ImportedHost, target: ImportedTarget | undefined, volumes: Volumes): Readonly<Record<string, unknown>> {
  const { macs, address } = host;
  const hardware = { mac: macs.length === 1 ? macs[0] : macs, ...(address !== undefined && { address }) };
  if (target === undefined) return hardware;
  const { initiators } = target;
  return {
    ...hardware,
    target: target.name,
    initiator: initiators.length === 0 ? "any" : initiators.length === 1 ? initiators[0] : initiators,
    disks: target.luns.map((lun) => volumes.nameOf(lun)),
    ...(target.chap !== undefined && { chap: true }),
  };
}

/** Disks by the names of their files; a file that several targets have is a shared one. */
class Volumes {
  readonly entries = new Map<string, Readonly<Record<string, unknown>>>();
  readonly #names = new Map<string, string>();
  readonly #uses = new Map<string, number>();

  constructor(targets: readonly ImportedTarget[]) {
    for (const { path } of targets.flatMap(({ luns }) => luns)) this.#uses.set(path, (this.#uses.get(path) ?? 0) + 1);
  }

  nameOf({ path, blockSize, serial, readOnly }: ImportedLun): string {
    const known = this.#names.get(path);
    if (known !== undefined) return known;
    const plain = basename(path)
      .replace(/\.(img|raw|iso|dsk)$/i, "")
      .replaceAll(/[^A-Za-z0-9._-]/g, "-");
    const name = uniqueName(/^[A-Za-z0-9]/.test(plain) ? plain : `disk${plain}`, Object.fromEntries(this.entries));
    this.#names.set(path, name);
    const shared = (this.#uses.get(path) ?? 0) > 1 && !readOnly;
    this.entries.set(name, {
      file: path,
      ...(readOnly && { "read-only": true }),
      ...(shared && { shared: true }),
      ...(blockSize === 4096 && { "block-size": 4096 }),
      ...(serial !== undefined && { serial }),
    });
    return name;
  }
}

/** Of `iqn.2022-07.san.iscsi:uqbar`, what follows the last colon. */
function suffixOf({ name }: ImportedTarget): string {
  return name.slice(name.lastIndexOf(":") + 1);
}

function machineName(text: string): string {
  const name = (text.split(".")[0] ?? "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 60);
  return text.includes(":") ? `host-${text.replaceAll(":", "")}` : name || "host";
}

function uniqueName(name: string, taken: Readonly<Record<string, unknown>>): string {
  if (!Object.hasOwn(taken, name)) return name;
  for (let number = 2; ; number++) if (!Object.hasOwn(taken, `${name}-${number}`)) return `${name}-${number}`;
}
