import { diskLink, type InstallRequest, iscsiTimeouts, outcomeUrl, shellWord, treeUrl } from "./request.ts";
import { commandsOf } from "./snippet.ts";

/**
 * What one major version of RHEL wants said otherwise than another. Commands and options are those of pykickstart's handlers
 * RHEL8, RHEL9 and RHEL10, which Anaconda itself reads them with.
 */
interface RhelVersion {
  /** pykickstart's name of the syntax. */
  readonly syntax: string;
  readonly timezone: string;
  /** dracut's module that brings the network up in an initramfs. */
  readonly dracutNetwork: string;
}

export const RHEL: Readonly<Record<number, RhelVersion>> = {
  8: { syntax: "RHEL8", timezone: "timezone Etc/UTC --isUtc --nontp", dracutNetwork: "network-legacy" },
  9: { syntax: "RHEL9", timezone: "timezone Etc/UTC --utc", dracutNetwork: "network-manager" },
  10: { syntax: "RHEL10", timezone: "timezone Etc/UTC --utc", dracutNetwork: "network-manager" },
};

/** Without these an installed system does not reach its root over iSCSI. */
const PACKAGES = ["dracut-network", "iscsi-initiator-utils"];
const MULTIPATH_PACKAGES = ["device-mapper-multipath"];
/** What the profile `minimal` means, and what is installed where no profile has a %packages. */
const ENVIRONMENT = "@^minimal-environment";

/** What is said unless the profile says one of `instead`. */
interface Usual {
  readonly instead: readonly string[];
  readonly lines: readonly string[];
}

/** The kickstart of one machine. Throws nothing; every line ends with a newline. */
export function kickstart(request: InstallRequest): string {
  const { machine, image, snippet } = request;
  const said = commandsOf(snippet);
  const usual = usualCommands(request).flatMap(({ instead, lines }) => (instead.some((command) => said.has(command)) ? [] : lines));
  return text([
    `# ${machine.name}: ${image.system} ${image.version}. Written by rackboot at each request.`,
    ...usual,
    "",
    ...iscsi(request),
    ...disks(request, said),
    ...(snippet.lines.length === 0 ? [] : ["", "# From the profile.", ...snippet.lines]),
    "",
    ...packages(request),
    ...snippet.sections.filter(({ name }) => name !== "%packages").flatMap(({ header, body }) => ["", header, ...body, "%end"]),
    "",
    ...afterwards(request),
  ]);
}

/** The rescue system of the same medium, with the machine's disk attached and left alone. */
export function rescueKickstart(request: InstallRequest): string {
  return text([`# ${request.machine.name}: rescue. Written by rackboot at each request.`, ...iscsi(request), "rescue --nomount"]);
}

function usualCommands(request: InstallRequest): readonly Usual[] {
  const { machine, image, facts } = request;
  const version = RHEL[image.major] ?? RHEL[9];
  return [
    { instead: ["text", "graphical", "cmdline"], lines: ["text"] },
    { instead: ["url", "cdrom", "nfs", "harddrive", "hmc", "ostreesetup", "liveimg"], lines: [`url --url=${treeUrl(machine, facts)}`] },
    { instead: ["lang"], lines: ["lang en_US.UTF-8"] },
    { instead: ["keyboard"], lines: ["keyboard --vckeymap=us"] },
    { instead: ["timezone"], lines: version === undefined ? [] : [version.timezone] },
    // Nobody knows a password that nobody has chosen.
    { instead: ["rootpw", "user", "sshkey"], lines: ["rootpw --lock"] },
    {
      instead: ["network"],
      lines: [`network --bootproto=dhcp --device=${machine.macs[0]} --activate --onboot=on --hostname=${machine.hostname}`],
    },
    { instead: ["firstboot"], lines: ["firstboot --disable"] },
    { instead: ["reboot", "poweroff", "shutdown", "halt"], lines: ["reboot"] },
  ];
}

/** iscsiname before iscsi, and both before any command about disks. */
function iscsi({ machine, facts, chap }: InstallRequest): string[] {
  const proof =
    chap === undefined
      ? []
      : [
          `--user=${quoted(chap.user)}`,
          `--password=${quoted(chap.secret)}`,
          ...(chap.mutual === undefined
            ? []
            : [`--reverse-user=${quoted(chap.mutual.user)}`, `--reverse-password=${quoted(chap.mutual.secret)}`]),
        ];
  return [
    `iscsiname ${machine.initiators[0]}`,
    ...facts.portals.map((portal) =>
      ["iscsi", `--ipaddr=${portal}`, `--port=${facts.iscsiPort}`, `--target=${machine.target}`, ...proof].join(" "),
    ),
  ];
}

const PARTITIONING = ["part", "partition", "volgroup", "logvol", "raid", "btrfs", "autopart", "reqpart", "mount"];

/** As RHEL lays a disk out by itself: an ESP, /boot on xfs, and an xfs root in LVM; all of it on the first disk. */
function disks(request: InstallRequest, said: ReadonlySet<string>): string[] {
  const disk = diskLink(request);
  const own = PARTITIONING.some((command) => said.has(command));
  return [
    `ignoredisk --only-use=${disk}`,
    ...(said.has("zerombr") ? [] : ["zerombr"]),
    ...(said.has("clearpart") ? [] : [`clearpart --all --initlabel --disklabel=gpt --drives=${disk}`]),
    ...(said.has("bootloader") ? [] : [`bootloader --boot-drive=${disk}${bootArguments(request)}`]),
    ...(own
      ? []
      : [
          `part /boot/efi --fstype=efi --size=600 --ondisk=${disk}`,
          `part /boot --fstype=xfs --size=1024 --ondisk=${disk}`,
          `part pv.01 --size=2048 --grow --ondisk=${disk}`,
          "volgroup rhel pv.01",
          "logvol / --vgname=rhel --name=root --fstype=xfs --size=2048 --grow",
        ]),
  ];
}

function bootArguments({ machine }: InstallRequest): string {
  return machine.arguments === "" ? "" : ` --append=${quoted(machine.arguments)}`;
}

function packages({ facts, snippet }: InstallRequest): string[] {
  const own = snippet.sections.filter(({ name }) => name === "%packages");
  const options = new Set(own.flatMap(({ header }) => header.split(/\s+/).slice(1)));
  return [
    ["%packages", ...options].join(" "),
    ...(own.length === 0 ? [ENVIRONMENT] : own.flatMap(({ body }) => body)),
    ...PACKAGES,
    ...(facts.portals.length > 1 ? MULTIPATH_PACKAGES : []),
    "%end",
  ];
}

/**
 * What makes the installed system boot on any machine of the rack: an initramfs that was not tailored to this one (`hostonly=no`
 * takes the drivers of all network cards), with what attaches an iSCSI root, and entries that name no network card of this
 * machine; then word that the installation is over.
 */
function afterwards(request: InstallRequest): string[] {
  const { image, facts } = request;
  const timeouts = iscsiTimeouts(facts.portals.length);
  const network = RHEL[image.major]?.dracutNetwork ?? "network";
  const modules = ["network", network, "iscsi", ...(facts.portals.length > 1 ? ["multipath"] : [])];
  return [
    "%post --erroronfail",
    "cat >/etc/dracut.conf.d/rackboot.conf <<'END'",
    "# A disk of a rack boots on whatever machine it is given to.",
    'hostonly="no"',
    `add_dracutmodules+=" ${modules.join(" ")} "`,
    'add_drivers+=" iscsi_tcp "',
    "END",
    ...timeouts.flatMap(([key, value]) => {
      const pattern = key.replaceAll(/[[\].]/g, "\\$&");
      return [
        `sed -i -e '/^[# ]*${pattern} *=/d' /etc/iscsi/iscsid.conf`,
        `echo '${key} = ${value}' >>/etc/iscsi/iscsid.conf`,
        `find /var/lib/iscsi/nodes -type f -exec sed -i -e 's/^${pattern} *=.*/${key} = ${value}/' {} + 2>/dev/null || :`,
      ];
    }),
    `grubby --update-kernel=ALL --remove-args="${ofThisMachine(request).join(" ")}"`,
    "for kernel in $(rpm -q kernel-core --qf '%{VERSION}-%{RELEASE}.%{ARCH}\\n'); do dracut -f --kver \"$kernel\"; done",
    "%end",
    "",
    // Outside of the new system: the installer's own curl is there whatever was installed.
    "%post --nochroot --erroronfail",
    "sync",
    `curl -fsS -o /dev/null -X POST ${shellWord(outcomeUrl(request, "finished"))}`,
    "%end",
    "",
    "%onerror",
    `curl -fsS -o /dev/null -X POST ${shellWord(outcomeUrl(request, "failed"))}`,
    "%end",
  ];
}

/**
 * Anaconda has the boot loader's entries say by which network card, of which name, which target is reached. Without that,
 * whatever machine boots the disk is told its own; but a secret has no other place than `netroot`.
 */
function ofThisMachine({ chap }: InstallRequest): readonly string[] {
  return ["ip", "ifname", ...(chap === undefined ? ["netroot", "rd.iscsi.initiator"] : [])];
}

/** One word of a kickstart, which is taken apart by Python's shlex. */
function quoted(value: string): string {
  return /^[A-Za-z0-9_.,:=/@%+-]+$/.test(value) ? value : `"${value.replaceAll(/[\\"]/g, "\\$&")}"`;
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
