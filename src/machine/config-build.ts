import { resolve } from "node:path";
import type { Config, VolumeConfig } from "./config.ts";
import { formatPath, type Issue, type KeyPath } from "./config-problems.ts";
import type { MachineEntry, RackbootFile } from "./config-schema.ts";
import { formatSize } from "./config-values.ts";
import { type Ipv4, type Iqn, inlineVolumeName, ipv4ToNumber, type MachineName, parseIqn, type VolumeName } from "./identifiers.ts";
import type { BootSource, Machine } from "./machine.ts";

/**
 * From the file's keys to the daemon's configuration: names derived, paths absolute, and every rule that needs more than
 * one key. `folder` is where the file stands; relative paths are relative to it. `storage` stands for a missing storage.path.
 */
export function buildConfig(
  file: RackbootFile,
  folder: string,
  storage = "./data",
): { readonly config: Config; readonly issues: readonly Issue[] } {
  const absolute = (path: string): string => resolve(folder, path);
  const issues: Issue[] = [];
  const volumes = new Map<VolumeName, VolumeConfig>();
  for (const [name, entry] of Object.entries(file.volumes)) volumes.set(name as VolumeName, withAbsolutePath(entry, absolute));

  const machines = Object.entries(file.machines).map(([key, entry]) => {
    const name = key as MachineName;
    const disks = entry.disks.map((disk, lun) => {
      if (typeof disk === "string") return disk;
      const inline = inlineVolumeName(name, lun);
      volumes.set(inline, withAbsolutePath(disk, absolute));
      return inline;
    });
    return buildMachine(name, entry, disks, file.iscsi.prefix, absolute, issues);
  });

  const { tftp, http, iscsi } = file;
  const config: Config = {
    network: file.network,
    dhcp: file.dhcp,
    tftp: {
      ...tftp,
      ...(tftp.root !== undefined && { root: absolute(tftp.root) }),
      ...(tftp.upload !== undefined && { upload: absolute(tftp.upload) }),
    },
    http: {
      ...http,
      ...(http.https !== undefined && {
        https: { port: http.https.port, certificate: absolute(http.https.certificate), key: absolute(http.https.key) },
      }),
    },
    iscsi: {
      ...iscsi,
      portals: iscsi.portals ?? [file.network.address],
      ...(iscsi.secrets !== undefined && { secrets: absolute(iscsi.secrets) }),
    },
    setup: file.setup,
    storage: { path: absolute(file.storage.path ?? storage) },
    volumes,
    machines,
  };
  checkNetwork(config, issues);
  checkPorts(config, issues);
  checkVolumes(config, issues);
  checkMachines(config, file, issues);
  return { config, issues };
}

function withAbsolutePath(volume: VolumeConfig, absolute: (path: string) => string): VolumeConfig {
  return volume.source.kind === "file" ? { ...volume, source: { kind: "file", path: absolute(volume.source.path) } } : volume;
}

function absoluteBoot(boot: BootSource, absolute: (path: string) => string): BootSource {
  switch (boot.kind) {
    case "kernel": {
      const { loader, ...rest } = boot;
      const paths = { kernel: absolute(boot.kernel), initrd: absolute(boot.initrd) };
      return { ...rest, ...paths, ...(loader !== undefined && { loader: absolute(loader) }) };
    }
    case "uki":
      return { ...boot, file: absolute(boot.file) };
    default:
      return boot;
  }
}

/** The dot keeps a derived initiator apart from every derived target: no machine's name has one. */
function derivedNames(prefix: Iqn, name: MachineName, issues: Issue[]): { readonly target: Iqn; readonly initiator: Iqn } {
  try {
    return { target: parseIqn(`${prefix}:${name}`), initiator: parseIqn(`${prefix}:initiator.${name}`) };
  } catch {
    const allowed = "a prefix that leaves room: iSCSI names have at most 223 characters";
    issues.push({ path: ["iscsi", "prefix"], allowed, found: `a prefix too long for machine ${name}` });
    return { target: prefix, initiator: prefix };
  }
}

function buildMachine(
  name: MachineName,
  entry: MachineEntry,
  disks: readonly VolumeName[],
  prefix: Iqn,
  absolute: (path: string) => string,
  issues: Issue[],
): Machine {
  const derived = derivedNames(prefix, name, issues);
  const anyInitiator = entry.initiator === "any";
  const boot: BootSource = entry.boot ?? (disks.length > 0 ? { kind: "disk", via: "loader" } : { kind: "local" });
  return {
    name,
    macs: entry.mac,
    ...(entry.address !== undefined && { address: entry.address }),
    initiators: entry.initiator === undefined || entry.initiator === "any" ? [derived.initiator] : entry.initiator,
    anyInitiator,
    ...(entry["initiator-address"] !== undefined && { initiatorNetworks: entry["initiator-address"] }),
    target: entry.target ?? derived.target,
    disks,
    chap: entry.chap,
    arguments: entry.arguments,
    boot: absoluteBoot(boot, absolute),
    ephemeral: entry.ephemeral,
    hostname: entry.hostname ?? name,
  };
}

interface Subnet {
  readonly text: string;
  readonly first: number;
  readonly last: number;
  /** Networks of one or two addresses have neither a network nor a broadcast address (RFC 3021). */
  readonly hasReserved: boolean;
}

function subnetOf({ network }: Config): Subnet {
  const size = 2 ** (32 - network.prefixLength);
  const first = Math.floor(ipv4ToNumber(network.address) / size) * size;
  return { text: `${network.address}/${network.prefixLength}`, first, last: first + size - 1, hasReserved: size > 2 };
}

function isHost(subnet: Subnet, address: Ipv4): boolean {
  const value = ipv4ToNumber(address);
  const reserved = subnet.hasReserved && (value === subnet.first || value === subnet.last);
  return value >= subnet.first && value <= subnet.last && !reserved;
}

function checkNetwork(config: Config, issues: Issue[]): void {
  const subnet = subnetOf(config);
  const allowed = `a host's address in the network of ${subnet.text}`;
  if (!isHost(subnet, config.network.address)) {
    issues.push({ path: ["network", "address"], allowed: "a host's address, not that of the network or its broadcast" });
  }
  const { range, router } = config.dhcp;
  if (range !== undefined && !(isHost(subnet, range.first) && isHost(subnet, range.last))) {
    issues.push({ path: ["dhcp", "range"], allowed: `a range inside the network of ${subnet.text}` });
  }
  if (router !== undefined && !isHost(subnet, router)) issues.push({ path: ["dhcp", "router"], allowed });
  for (const [key, machine] of config.machines.map((machine) => [["machines", machine.name, "address"], machine] as const)) {
    if (machine.address === undefined) continue;
    if (!isHost(subnet, machine.address)) issues.push({ path: key, allowed });
    if (machine.address === config.network.address) {
      issues.push({ path: key, allowed: "an address of its own", found: `${machine.address}, which is the server's (network.address)` });
    }
  }
}

/** TCP ports that would collide; 0 never does. */
function checkPorts(config: Config, issues: Issue[]): void {
  const taken = new Map<number, string>();
  const ports: readonly (readonly [KeyPath, number | undefined])[] = [
    [["http", "port"], config.http.port],
    [["http", "https", "port"], config.http.https?.port],
    [["iscsi", "port"], config.iscsi.port],
  ];
  for (const [path, port] of ports) {
    if (port === undefined || port === 0) continue;
    const other = taken.get(port);
    if (other === undefined) taken.set(port, formatPath(path));
    else issues.push({ path, allowed: "a TCP port of its own", found: `${port}, which ${other} has` });
  }
}

/** Where a volume is written: under `volumes`, or inside the machine that it belongs to. */
function volumePath(name: VolumeName): KeyPath {
  const [machine = "", lun] = name.split("/");
  return lun === undefined ? ["volumes", name] : ["machines", machine, "disks", Number(lun)];
}

function checkVolumes(config: Config, issues: Issue[]): void {
  const files = new Map<string, VolumeName>();
  for (const [name, volume] of config.volumes) {
    const path = volumePath(name);
    if (volume.source.kind === "file") {
      const other = files.get(volume.source.path);
      if (other === undefined) files.set(volume.source.path, name);
      else if (!volume.readOnly || config.volumes.get(other)?.readOnly !== true) {
        const found = `the file of volume ${other}`;
        issues.push({ path: [...path, "file"], allowed: "a file of its own, or read-only: true for both", found });
      }
    }
    if (volume.source.kind === "clone") checkClone(config, name, volume.source, path, issues);
  }
}

function checkClone(
  config: Config,
  name: VolumeName,
  clone: { readonly origin: string; readonly sizeBytes?: number },
  path: KeyPath,
  issues: Issue[],
): void {
  const seen = new Set<string>([name]);
  for (let origin: string | undefined = clone.origin; origin !== undefined; ) {
    const volume = originVolume(origin);
    if (seen.has(volume)) {
      const found = `a circle: ${[...seen, volume].join(" is a clone of ")}`;
      issues.push({ path: [...path, "clone"], allowed: "an origin that is not made from its own clone", found });
      return;
    }
    seen.add(volume);
    const source = config.volumes.get(volume)?.source;
    origin = source?.kind === "clone" ? source.origin : undefined;
  }
  const origin = config.volumes.get(originVolume(clone.origin))?.source;
  if (clone.sizeBytes !== undefined && origin?.kind === "sparse" && clone.sizeBytes < origin.sizeBytes) {
    issues.push({ path: [...path, "size"], allowed: `at least the size of its origin, ${formatSize(origin.sizeBytes)}` });
  }
}

/** Of `volume@snapshot`. */
function originVolume(origin: string): VolumeName {
  return (origin.split("@")[0] ?? origin) as VolumeName;
}

/** Says that `owner` has `value`, which nobody else may have. */
type Claim = (kind: string, value: string, owner: MachineName, path: KeyPath, otherwise?: string) => void;

/** Values that no two machines may share, and disks that exist. */
function checkMachines(config: Config, file: RackbootFile, issues: Issue[]): void {
  const owners = new Map<string, MachineName>();
  const claim: Claim = (kind, value, owner, path, otherwise = "") => {
    const other = owners.get(`${kind} ${value}`);
    if (other === undefined) owners.set(`${kind} ${value}`, owner);
    else if (other !== owner)
      issues.push({ path, allowed: `${kind} of its own${otherwise}`, found: `${value}, which machine ${other} has` });
    else issues.push({ path, allowed: `${kind} once`, found: `${value} a second time` });
  };
  for (const machine of config.machines) {
    const at = (...more: KeyPath): KeyPath => ["machines", machine.name, ...more];
    const entry = file.machines[machine.name];
    const item = (key: "mac" | "initiator", index: number, count: number): KeyPath => (count > 1 ? at(key, index) : at(key));
    for (const [index, mac] of machine.macs.entries()) claim("a MAC address", mac, machine.name, item("mac", index, machine.macs.length));
    if (machine.address !== undefined) claim("an address", machine.address, machine.name, at("address"));
    claim("a target", machine.target, machine.name, entry?.target === undefined ? at() : at("target"));
    for (const [index, initiator] of machine.initiators.entries()) {
      claim("an initiator", initiator, machine.name, item("initiator", index, machine.initiators.length));
    }
    checkDisks(config, machine, at, claim, issues);
  }
}

function checkDisks(config: Config, machine: Machine, at: (...more: KeyPath) => KeyPath, claim: Claim, issues: Issue[]): void {
  for (const [lun, name] of machine.disks.entries()) {
    const volume = config.volumes.get(name);
    if (machine.disks.indexOf(name) !== lun)
      issues.push({ path: at("disks", lun), allowed: "every volume once", found: `"${name}" a second time` });
    // What only the store knows is checked when it is opened.
    else if (volume !== undefined && !volume.shared && !volume.readOnly) {
      claim("a volume", name, machine.name, at("disks", lun), ", or one with shared: true or read-only: true");
    }
  }
  if (machine.boot.kind === "disk" && machine.disks.length === 0) {
    issues.push({
      path: at("boot"),
      allowed: "another way to boot, or at least one entry in disks",
      found: "disk, on a machine without disks",
    });
  }
  if (machine.boot.kind === "install" && machine.disks.length === 0) {
    issues.push({ path: at("boot"), allowed: "at least one entry in disks to install on", found: "install, on a machine without disks" });
  }
  if (machine.boot.kind === "install" && machine.ephemeral) {
    issues.push({
      path: at("ephemeral"),
      allowed: "false for a machine that installs",
      found: "true, which would forget what is installed",
    });
  }
  if (machine.ephemeral && !machine.disks.some((name) => (config.volumes.get(name)?.source.kind ?? "clone") === "clone")) {
    issues.push({
      path: at("ephemeral"),
      allowed: "false, or a disk that is a clone to start from",
      found: "true, on a machine without a clone",
    });
  }
  if (machine.chap && config.iscsi.secrets === undefined) {
    issues.push({
      path: at("chap"),
      allowed: "false, or iscsi.secrets with the file that has this machine's secret",
      found: "true, without iscsi.secrets",
    });
  }
}
