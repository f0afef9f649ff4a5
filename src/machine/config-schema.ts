import { z } from "zod";
import {
  type DhcpConfig,
  type HttpConfig,
  type IscsiConfig,
  MAX_PASSWORD_CHARACTERS,
  MIN_PASSWORD_CHARACTERS,
  type NetworkConfig,
  type SetupConfig,
  type TftpConfig,
  type VolumeConfig,
  type VolumeSource,
} from "./config.ts";
import { quirk } from "./config-quirk.ts";
import * as value from "./config-values.ts";
import type { Ipv4, Iqn, Mac, VolumeName } from "./identifiers.ts";
import type { BootSource, Network } from "./machine.ts";

/**
 * The shape of rackboot.yaml, key by key: types, ranges and defaults. What one key means to another is in
 * config-build.ts. Paths are still as they were written.
 */
export interface RackbootFile {
  readonly network: NetworkConfig;
  readonly dhcp: DhcpConfig;
  readonly tftp: TftpConfig;
  readonly http: HttpConfig;
  readonly iscsi: Omit<IscsiConfig, "portals"> & { readonly portals?: readonly Ipv4[] };
  readonly storage: { readonly path?: string };
  readonly volumes: Readonly<Record<string, VolumeConfig>>;
  readonly machines: Readonly<Record<string, MachineEntry>>;
  /** Checked here, and copied from the text of the file. */
  readonly profiles: Readonly<Record<string, unknown>>;
  readonly setup: SetupConfig;
}

export interface MachineEntry {
  readonly mac: readonly [Mac, ...Mac[]];
  readonly address?: Ipv4;
  readonly initiator?: readonly [Iqn, ...Iqn[]] | "any";
  readonly "initiator-address"?: readonly [Network, ...Network[]];
  readonly target?: Iqn;
  readonly disks: readonly (VolumeName | VolumeConfig)[];
  readonly chap: boolean;
  readonly arguments: string;
  readonly boot?: BootSource;
  readonly ephemeral: boolean;
  readonly hostname?: string;
}

export const DEFAULT_PREFIX = "iqn.2026-01.lan.rackboot";
/** A NIC has two ports, a big server four NICs. */
const MAX_MACS = 16;
const MAX_INITIATORS = 16;
const MAX_PORTALS = 16;
/** Single-level LUNs in peripheral device addressing (SAM-5, 4.7.7.2). */
export const MAX_DISKS = 256;
const MAX_NAME_SERVERS = 8;
const MIB = 1024 ** 2;
const MIN_VOLUME_BYTES = MIB;
/** The largest file that XFS and btrfs hold is 8 EiB; beyond 1 PiB a digit too many is likelier. */
const MAX_VOLUME_BYTES = 1024 ** 5;

const network = z
  .strictObject(
    {
      interface: value.interfaceName.describe("The network interface that faces the rack."),
      address: value.addressWithPrefix.describe(
        "The server's own address on that interface, with the prefix length of the rack's network.",
      ),
      manage: value.flag.default(false).describe("true: the daemon sets the address itself; false: it only checks it."),
      vlan: value.integer(1, 4094, "a VLAN number").exactOptional().describe("The VLAN that the rack's network is on."),
    },
    { error: "a mapping with interface and address" },
  )
  .transform(({ address, ...rest }): NetworkConfig => ({ ...rest, ...address }));

const addresses = (what: string) =>
  z.array(value.ipv4, { error: `a list of ${what}` }).max(MAX_NAME_SERVERS, { error: `at most ${MAX_NAME_SERVERS} ${what}` });

const dhcp = z
  .strictObject(
    {
      mode: z
        .enum(["server", "proxy", "off"], { error: "server, proxy or off" })
        .default("server")
        .describe("server: gives addresses and boot files; proxy: boot files only, beside another DHCP server; off: nothing."),
      range: value.addressRange.exactOptional().describe("Addresses for machines without a reservation."),
      lease: value.duration
        .default(12 * 3_600_000)
        .describe("How long an address is lent. Machines with an address and a disk get it for ever."),
      unknown: z
        .enum(["ignore", "lease", "pending"], { error: "ignore, lease or pending" })
        .default("ignore")
        .describe("What a MAC address that no machine has is given."),
      router: value.ipv4.exactOptional().describe("Default gateway (option 3)."),
      dns: addresses("name servers").default([]).describe("Name servers (option 6)."),
      domain: value.hostName.exactOptional().describe("Domain name (option 15)."),
      ntp: addresses("time servers").default([]).describe("Time servers (option 42)."),
      // RFC 2132, 5.1: 68 is the least that IPv4 allows.
      mtu: value.integer(68, 65535, "an MTU").exactOptional().describe("Interface MTU (option 26)."),
      options: z
        .record(value.dhcpOptionNumber as unknown as z.ZodString, value.dhcpOption, { error: "a mapping of option numbers to values" })
        .default({})
        .describe("Any other option by its number."),
      relay: value.flag.default(true).describe("Answer requests that come through a relay agent."),
      others: addresses("DHCP servers").default([]).describe("Other DHCP servers that may be on this network: they raise no alarm."),
      quirks: z
        .record(value.quirkName as unknown as z.ZodString, quirk, { error: "a mapping of names to quirks" })
        .default({})
        .describe("Clients that need something different, beside those that are known already."),
      port: value.integer(1, 65535, "a port").default(67).describe("For development: the port to serve on."),
    },
    { error: "a mapping" },
  )
  .transform(({ lease, options, quirks, ...rest }): DhcpConfig => {
    return { ...rest, leaseMs: lease, options: value.byNumber(options), quirks: new Map(Object.entries(quirks)) };
  });

const tftp = z
  .strictObject(
    {
      port: value.port.default(69),
      root: value.path.exactOptional().describe("A folder of extra static files that every client may read."),
      // RFC 7440, 3: 1 to 65535 blocks.
      windowsize: value.integer(1, 65535, "a number of blocks").default(16).describe("The most blocks sent before an acknowledgement."),
      upload: value.path.nullable().exactOptional().describe("A folder that clients may write to; null or absent: none."),
    },
    { error: "a mapping" },
  )
  .transform(({ upload, ...rest }): TftpConfig => ({ ...rest, ...(upload !== undefined && upload !== null && { upload }) }));

const http = z.strictObject(
  {
    port: value.port.default(80),
    https: z
      .strictObject(
        { port: value.port.default(443), certificate: value.path.describe("PEM file."), key: value.path.describe("PEM file.") },
        { error: "{ port, certificate, key }" },
      )
      .exactOptional(),
  },
  { error: "a mapping" },
);

const iscsi = z
  .strictObject(
    {
      port: value.port.default(3260),
      prefix: value.iqnPrefix.prefault(DEFAULT_PREFIX).describe("What derived names of targets and initiators begin with."),
      portals: z
        .array(value.ipv4, { error: "a list of IPv4 addresses" })
        .min(1, { error: "at least one address" })
        .max(MAX_PORTALS, { error: `at most ${MAX_PORTALS} addresses` })
        .exactOptional()
        .describe("Addresses to serve on; default: network.address."),
      threads: value.integer(0, 256, "a number of threads").default(0).describe("Data threads; 0: cores minus one, at least one."),
      memory: value
        .size(4 * MIB, 1024 * 1024 * MIB)
        .default(64 * MIB)
        .describe("Bound of the data buffers."),
      secrets: value.path.exactOptional().describe("File of CHAP secrets, mode 0600."),
    },
    { error: "a mapping" },
  )
  .transform(({ memory, ...rest }): RackbootFile["iscsi"] => ({ ...rest, memoryBytes: memory }));

const storage = z.strictObject(
  {
    path: value.path
      .exactOptional()
      .describe("Folder of volumes, snapshots, images and of what is learned; default: ./data, on the appliance its data disk."),
  },
  { error: "a mapping" },
);

const PASSWORD_ALLOWED = `${MIN_PASSWORD_CHARACTERS} to ${MAX_PASSWORD_CHARACTERS} characters, in quotes`;

const setup = z
  .strictObject(
    {
      password: z
        .string({ error: PASSWORD_ALLOWED })
        .min(MIN_PASSWORD_CHARACTERS, { error: PASSWORD_ALLOWED })
        .max(MAX_PASSWORD_CHARACTERS, { error: PASSWORD_ALLOWED })
        .exactOptional()
        .describe("The appliance's first password. It is taken while there is none, and then removed from this file."),
      "data-disk": value
        .line("a disk's serial number", 1, 64)
        .exactOptional()
        .describe("Serial number of a disk of the appliance: if nothing is on it, it is made the data disk while there is none."),
    },
    { error: "a mapping with password, data-disk" },
  )
  .transform(({ "data-disk": dataDisk, ...rest }): SetupConfig => ({ ...rest, ...(dataDisk !== undefined && { dataDisk }) }));

const VOLUME_ALLOWED = "exactly one of size, clone and file (a clone may have a size too)";

const volume: z.ZodType<VolumeConfig> = z
  .strictObject(
    {
      size: value
        .size(MIN_VOLUME_BYTES, MAX_VOLUME_BYTES)
        .exactOptional()
        .describe("A sparse disk of this size, made at first use; with clone: the clone's size."),
      clone: value.cloneOrigin.exactOptional().describe("A clone of this volume or snapshot (volume@snapshot)."),
      file: value.path.exactOptional().describe("An existing raw file or block device."),
      "read-only": value.flag.default(false),
      shared: value.flag.default(false).describe("Several machines may have it."),
      "block-size": z.literal([512, 4096], { error: "512 or 4096" }).default(512).describe("Logical block size in octets."),
      "write-cache": value.flag.default(true).describe("false: every write is on the disk before it is acknowledged."),
      thin: value.flag.default(true).describe("UNMAP gives space back."),
      removable: value.flag.default(false),
      serial: value.serialNumber.exactOptional().describe("Unit serial number; default: derived from the name."),
    },
    { error: "a mapping with size, clone or file" },
  )
  .transform((entry, context): VolumeConfig => {
    const refuse = (message: string, found: string, path: string[] = []): never => {
      context.addIssue({ code: "custom", message, path, params: { found } });
      return z.NEVER;
    };
    const source = volumeSource(entry);
    if (source === undefined) {
      const given = (["size", "clone", "file"] as const).filter((key) => entry[key] !== undefined);
      return refuse(VOLUME_ALLOWED, given.length === 0 ? "none of them" : given.join(" and "));
    }
    const blockSize = entry["block-size"];
    if (entry.size !== undefined && entry.size % blockSize !== 0) {
      return refuse(`a multiple of the block size, ${blockSize}`, `${entry.size} octets`, ["size"]);
    }
    return {
      source,
      readOnly: entry["read-only"],
      shared: entry.shared,
      blockSize,
      writeCache: entry["write-cache"],
      thin: entry.thin,
      removable: entry.removable,
      ...(entry.serial !== undefined && { serial: entry.serial }),
    };
  });

function volumeSource(entry: { readonly size?: number; readonly clone?: string; readonly file?: string }): VolumeSource | undefined {
  const { size, clone, file } = entry;
  if (clone !== undefined && file === undefined) return { kind: "clone", origin: clone, ...(size !== undefined && { sizeBytes: size }) };
  if (file !== undefined && clone === undefined && size === undefined) return { kind: "file", path: file };
  if (size !== undefined && file === undefined) return { kind: "sparse", sizeBytes: size };
  return undefined;
}

const BOOT_ALLOWED =
  "disk, local, { kernel, initrd, loader, arguments }, { install: IMAGE, profile }, { rescue: IMAGE }, { uki: FILE } or { disk: { via: sanboot } }";

const boot: z.ZodType<BootSource> = z.union(
  [
    z.literal("disk").transform((): BootSource => ({ kind: "disk", via: "loader" })),
    z.literal("local").transform((): BootSource => ({ kind: "local" })),
    z
      .strictObject({
        kernel: value.path,
        initrd: value.path,
        loader: value.path.exactOptional().describe("The boot loader to hand out instead of our own choice."),
        arguments: value.kernelArguments.default(""),
      })
      .transform((entry): BootSource => ({ kind: "kernel", ...entry })),
    z
      .strictObject({ install: value.imageName, profile: value.profileName.exactOptional() })
      .transform(({ install, ...rest }): BootSource => {
        return { kind: "install", image: install, ...rest };
      }),
    z.strictObject({ rescue: value.imageName }).transform((entry): BootSource => ({ kind: "rescue", image: entry.rescue })),
    z.strictObject({ uki: value.path }).transform((entry): BootSource => ({ kind: "uki", file: entry.uki })),
    z
      .strictObject({ disk: z.strictObject({ via: z.enum(["loader", "sanboot"], { error: "loader or sanboot" }) }) })
      .transform((entry): BootSource => ({ kind: "disk", via: entry.disk.via })),
  ],
  { error: BOOT_ALLOWED },
);

const INITIATOR_ALLOWED = "an iSCSI name such as iqn.1994-05.com.redhat:uqbar, a list of them, or any";

const INITIATOR_ADDRESS_ALLOWED = "an IPv4 address such as 172.16.0.16, a network such as 172.16.0.0/24, or a list of them";

const machineShape = z.strictObject(
  {
    mac: value
      .oneOrMore(value.mac, "a MAC address such as 52:54:00:16:00:10 (in quotes if it is digits only), or a list of them", MAX_MACS)
      .describe("One or a list; the key of everything."),
    address: value.ipv4.exactOptional().describe("A reservation; without it the machine gets an address of dhcp.range."),
    initiator: z
      .union([z.literal("any"), value.oneOrMore(value.iqn, INITIATOR_ALLOWED, MAX_INITIATORS)], { error: INITIATOR_ALLOWED })
      .exactOptional()
      .describe("Who may log in; default: prefix:initiator.machine."),
    "initiator-address": value
      .oneOrMore(value.addressOrNetwork, INITIATOR_ADDRESS_ALLOWED, MAX_INITIATORS)
      .exactOptional()
      .describe("Where it may log in from: an address, a network, or a list of them; default: anywhere."),
    target: value.iqn.exactOptional().describe("The machine's target; default: prefix:machine."),
    disks: z
      .array(z.union([value.volumeName, volume], { error: "the name of a volume, or a mapping with size, clone or file" }), {
        error: "a list of volumes",
      })
      .max(MAX_DISKS, { error: `at most ${MAX_DISKS} disks` })
      .default([])
      .describe("LUN 0, LUN 1, ...: names of volumes, or volumes written here."),
    chap: value.flag.default(false).describe("true: the machine must prove itself with its entry in iscsi.secrets."),
    arguments: value.kernelArguments.default("").describe("Appended to whatever kernel line it boots."),
    boot: boot.exactOptional().describe("Default: disk, or local for a machine without disks."),
    ephemeral: value.flag.default(false).describe("Every boot starts from the clone's origin."),
    hostname: value.hostName.exactOptional().describe("Default: the machine's name."),
  },
  { error: "a mapping with mac, address, disks, ..." },
);
const machine: z.ZodType<MachineEntry> = machineShape;

/** What several machines can have alike: everything but what a machine is known by. */
const profile = machineShape
  .omit({ mac: true, address: true, initiator: true, "initiator-address": true, target: true, hostname: true })
  .meta({
    description: "What an unknown machine is given when it is adopted.",
  });

const file: z.ZodType<RackbootFile> = z.strictObject(
  {
    network,
    dhcp: dhcp.prefault({}),
    tftp: tftp.prefault({}),
    http: http.prefault({}),
    iscsi: iscsi.prefault({}),
    storage: storage.prefault({}),
    volumes: z
      .record(value.volumeName as unknown as z.ZodString, volume, { error: "a mapping of names to volumes" })
      .default({})
      .describe("Named disks."),
    machines: z
      .record(value.machineName as unknown as z.ZodString, machine, { error: "a mapping of names to machines" })
      .default({})
      .describe("The machines of the rack."),
    setup: setup.prefault({}),
    profiles: z
      .record(value.profileName as unknown as z.ZodString, profile, { error: "a mapping of names to keys of a machine" })
      .default({})
      .describe('Keys of machines for "rackboot machine adopt --profile"; they are copied into the machine.'),
  },
  { error: "a mapping with network, machines, ..." },
);

export type ShapeResult =
  | { readonly ok: true; readonly file: RackbootFile }
  | { readonly ok: false; readonly issues: readonly z.core.$ZodIssue[] };

/** `content` is the file as plain data; every issue is found in one pass. Never throws. */
export function checkShape(content: unknown): ShapeResult {
  const result = file.safeParse(content);
  return result.success ? { ok: true, file: result.data } : { ok: false, issues: result.error.issues };
}

/** The JSON Schema of rackboot.yaml (2020-12), as published in docs/rackboot.schema.json. */
export function jsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(file, { io: "input", unrepresentable: "any" });
  return {
    $schema,
    title: "rackboot.yaml",
    description: "Configuration of rackboot: one file for the DHCP, TFTP, HTTP and iSCSI of a rack's machines.",
    ...schema,
  };
}
