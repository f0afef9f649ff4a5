import type { StoredImage } from "../../image/store.ts";
import type { MediumFile, MediumTree } from "../../image/tree.ts";
import type { BootSource, Machine } from "../../machine/machine.ts";
import type { ServerFacts } from "../facts.ts";
import { loaderTraits } from "../loader-traits.ts";
import type { BootPlan, FileOrigin, LoaderChain } from "../plan.ts";
import { MediumSource } from "./medium-source.ts";
import { preseedArguments } from "./preseed.ts";
import { answersUrl, KICKSTART, PRESEED, treeUrl } from "./request.ts";

/** A boot loader is some megabytes; what is larger is not looked into. */
const MAX_LOADER_BYTES = 64 * 1024 * 1024;

export type InstallSource = BootSource & { readonly kind: "install" | "rescue" };

/** What a machine is handed so that the installer of an image starts, and knows where to ask what it shall do. */
export async function installPlan(
  machine: Machine,
  source: InstallSource,
  { report, tree }: StoredImage,
  facts: ServerFacts,
  handedOut: () => void,
): Promise<BootPlan> {
  const what = source.kind === "install" ? "install" : "rescue with";
  const kernel = await originOf(tree, report.kernel);
  const initrd = await originOf(tree, report.initrd);
  return {
    kind: "kernel",
    entries: [
      {
        title: `${machine.name}: ${what} ${report.system} ${report.version}`,
        kernel: { name: "entry/0/vmlinuz", origin: kernel },
        initrds: [{ name: "entry/0/initrd", origin: initrd }],
        arguments: installerArguments(machine, source, report.installer, facts),
        attachesDisks: true,
      },
    ],
    defaultIndex: 0,
    notes: [],
    chains: await chains(tree, report),
    handedOut,
  };
}

/** What either installer reads from its kernel line: Anaconda's boot options (docs, "inst."), debian-installer's preseeding. */
function installerArguments(machine: Machine, { kind }: InstallSource, installer: string, facts: ServerFacts): string {
  if (installer === "debian-installer") {
    const rescue = kind === "rescue" ? " rescue/enable=true" : "";
    return `${preseedArguments(answersUrl(machine, facts, PRESEED), machine.hostname)}${rescue}`;
  }
  // Without its word Anaconda puts no boot loader on an iSCSI disk that the firmware's iBFT does not name.
  const own = kind === "rescue" ? "inst.rescue" : "inst.nonibftiscsiboot";
  return ["ip=dhcp", `inst.repo=${treeUrl(machine, facts)}`, `inst.ks=${answersUrl(machine, facts, KICKSTART)}`, own].join(" ");
}

export async function originOf(tree: MediumTree, path: string): Promise<FileOrigin> {
  const file = await tree.file(path);
  if (file === undefined) throw new Error(`the image has no ${path} any more; import it anew`);
  return origin(path, file);
}

export function origin(path: string, file: MediumFile): FileOrigin {
  if (file.extents === undefined) return { kind: "path", path: file.container };
  return { kind: "disk", path, sizeBytes: file.sizeBytes, open: () => MediumSource.open(file) };
}

/** The medium's own shim and GRUB, so that Secure Boot's chain is its own. One whose GRUB has no network is left out. */
async function chains(tree: MediumTree, { shim, grub, architecture }: StoredImage["report"]): Promise<readonly LoaderChain[]> {
  if (grub === undefined) return [];
  const file = await tree.file(grub);
  if (file === undefined || file.sizeBytes > MAX_LOADER_BYTES) return [];
  const source = await MediumSource.open(file);
  try {
    const traits = loaderTraits(Buffer.concat(await source.read(0, file.sizeBytes)));
    if (!traits.network) return [];
    const second = origin(grub, file);
    const first = shim === undefined ? second : await originOf(tree, shim);
    const companions = new Map([[`grub${architecture}.efi`, second]]);
    // Debian's GRUB finds no network on an HTTP device path.
    return [{ architecture, first, companions, http: traits.http, httpBoot: traits.http && !traits.debian }];
  } finally {
    source.release();
  }
}
