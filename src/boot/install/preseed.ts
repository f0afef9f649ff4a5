import { type InstallRequest, iscsiTimeouts, outcomeUrl, shellWord, TREE } from "./request.ts";

/** Paths below here are the installer's own, not those of the system that it installs. */
const INITIATOR_FILE = "/etc/iscsi/initiatorname.iscsi";
/** Behind finish-install's 95umount, when the disk has everything, and before 99reboot. */
const LAST_STEP = "/usr/lib/finish-install.d/96rackboot";

/**
 * The answers to debian-installer's questions for one machine (its manual, appendix B). The profile's lines come last, and so
 * win. Every line ends with a newline.
 */
export function preseed(request: InstallRequest): string {
  const { machine, image, facts, snippet } = request;
  const mirror = image.packages
    ? [
        "d-i mirror/country string manual",
        "d-i mirror/protocol string http",
        `d-i mirror/http/hostname string ${facts.httpPort === 80 ? facts.address : `${facts.address}:${facts.httpPort}`}`,
        `d-i mirror/http/directory string /${machine.name}/${TREE}`,
        "d-i mirror/http/proxy string",
      ]
    : [];
  return `${[
    `# ${machine.name}: ${image.system} ${image.version}. Written by rackboot at each request.`,
    "d-i debian-installer/locale string en_US.UTF-8",
    "d-i keyboard-configuration/xkb-keymap select us",
    "d-i hw-detect/load_firmware boolean false",
    ...mirror,
    ...(image.codename === undefined
      ? []
      : [`d-i mirror/suite string ${image.codename}`, `d-i mirror/udeb/suite string ${image.codename}`]),
    `d-i preseed/early_command string ${lastStep(request)}`,
    "d-i anna/choose_modules string partman-iscsi, open-iscsi-udeb",
    // There is none until the machine has logged in to its target.
    "d-i disk-detect/module_select select continue with no disk drive",
    `d-i partman/early_command string ${attachDisk(request)}`,
    ...DISK,
    "d-i clock-setup/utc boolean true",
    "d-i clock-setup/ntp boolean false",
    "d-i time/zone string Etc/UTC",
    // Nobody knows a password that nobody has chosen.
    "d-i passwd/make-user boolean false",
    "d-i passwd/root-password-crypted password !",
    "d-i base-installer/install-recommends boolean true",
    // An initramfs for any machine, and not for the one that it was made on.
    "d-i base-installer/initramfs-tools/driver-policy select most",
    "d-i apt-setup/services-select multiselect",
    "d-i apt-setup/cdrom/set-first boolean false",
    "tasksel tasksel/first multiselect",
    "d-i pkgsel/include string open-iscsi",
    "d-i pkgsel/upgrade select none",
    "d-i pkgsel/update-policy select none",
    "popularity-contest popularity-contest/participate boolean false",
    "d-i grub-installer/only_debian boolean true",
    "d-i grub-installer/with_other_os boolean false",
    "d-i grub-installer/bootdev string default",
    // The disk is found by no entry of this machine's firmware, whose boot order stays as it is.
    "d-i grub-installer/force-efi-extra-removable boolean true",
    "d-i grub-installer/update-nvram boolean false",
    "d-i finish-install/reboot_in_progress note",
    ...(snippet.lines.length === 0 ? [] : ["", "# From the profile.", ...snippet.lines]),
  ].join("\n")}\n`;
}

/** An ESP, and all the rest one ext4 root with swap: debian-installer's own recipe. */
const DISK: readonly string[] = [
  "d-i partman-auto/method string regular",
  "d-i partman-auto/choose_recipe select atomic",
  "d-i partman/default_filesystem string ext4",
  "d-i partman-efi/non_efi_system boolean true",
  "d-i partman-partitioning/choose_label select gpt",
  "d-i partman-partitioning/default_label string gpt",
  "d-i partman-partitioning/confirm_write_new_label boolean true",
  "d-i partman/choose_partition select finish",
  "d-i partman/confirm boolean true",
  "d-i partman/confirm_nooverwrite boolean true",
];

/**
 * partman-iscsi logs in only where a person walks through its menu. What it does later for a root on iSCSI, it does by what
 * it finds: so the machine is logged in as it would have done it.
 */
function attachDisk(request: InstallRequest): string {
  const { machine, facts, chap } = request;
  const proof =
    chap === undefined
      ? []
      : [
          ["node.session.auth.authmethod", "CHAP"],
          ["node.session.auth.username", chap.user],
          ["node.session.auth.password", chap.secret],
          ...(chap.mutual === undefined
            ? []
            : [
                ["node.session.auth.username_in", chap.mutual.user],
                ["node.session.auth.password_in", chap.mutual.secret],
              ]),
        ];
  const nodes = facts.portals.flatMap((portal) => {
    const node = `iscsiadm -m node -T ${shellWord(machine.target)} -p ${portal}:${facts.iscsiPort},1`;
    return [
      `${node} -o new`,
      ...proof.map(([key = "", value = ""]) => `${node} -o update -n ${shellWord(key)} -v ${shellWord(value)}`),
      `${node} --login`,
    ];
  });
  return commands([
    "mkdir -p /etc/iscsi",
    `echo InitiatorName=${machine.initiators[0]} >${INITIATOR_FILE}`,
    `chmod 600 ${INITIATOR_FILE}`,
    // Where a key stands twice, the later one counts. This file goes onto the disk, and nodes have its values.
    ...iscsiTimeouts(facts.portals.length).map(([key, value]) => `echo '${key} = ${value}' >>/etc/iscsi/iscsid.conf`),
    "iscsi-start",
    ...nodes,
    "update-dev --settle",
    `debconf-set partman-auto/disk "$(readlink -f /dev/disk/by-path/ip-${facts.portals[0]}:${facts.iscsiPort}-iscsi-${machine.target}-lun-0)"`,
  ]);
}

/** Written before finish-install looks what it has to do. */
function lastStep(request: InstallRequest): string {
  const report = `wget -q -O /dev/null --post-data= ${shellWord(outcomeUrl(request, "finished"))}`;
  return commands([`printf '#!/bin/sh\\nsync\\n%s\\n' ${shellWord(report)} >${LAST_STEP}`, `chmod 755 ${LAST_STEP}`]);
}

/** One answer is one line; a backslash at its end lets it go on in the next. */
function commands(all: readonly string[]): string {
  return all.join("; \\\n  ");
}

/** What the kernel line says, since it is asked before any answer can be fetched. */
export function preseedArguments(url: string, hostname: string): string {
  const words = ["auto=true", "priority=critical", `url=${url}`, `hostname=${hostname}`, "domain=", "interface=auto"];
  // A rack may have no way out.
  return [...words, "netcfg/no_default_route=true", "netcfg/get_nameservers="].join(" ");
}
