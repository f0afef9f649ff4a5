import { fileAt, type LoaderInspector } from "../file-system.ts";
import { DEBIAN_NETWORK_GRUB } from "../loaders.ts";
import type { FileOrigin, LoaderChain } from "../plan.ts";
import type { DiskFindings, DiskLoader } from "./disk-boot.ts";
import type { OriginOf } from "./disk-plan.ts";
import { baseName } from "./find-loaders.ts";

/**
 * The disk's own boot loaders that can go on from the network, best first. A GRUB without network gives way to the network
 * GRUB of the same signer where this system has that; a disk whose GRUB has none at all is left out.
 */
export async function loaderChains(
  findings: DiskFindings,
  originOf: OriginOf,
  inspector: LoaderInspector,
): Promise<readonly LoaderChain[]> {
  const chains: LoaderChain[] = [];
  for (const loader of findings.loaders) {
    const chain = await chainOf(loader, originOf, inspector);
    if (chain !== undefined) chains.push(chain);
  }
  return chains;
}

async function chainOf(loader: DiskLoader, originOf: OriginOf, inspector: LoaderInspector): Promise<LoaderChain | undefined> {
  const { architecture, shim, grub, grubTraits } = loader;
  const name = `grub${architecture}.efi`;
  const own =
    grub !== undefined && grubTraits?.network === true ? { origin: originOf(grub), http: grubTraits.http, httpBoot: true } : undefined;
  const second = own ?? (grubTraits?.debian === true ? await debianGrub(name, inspector) : undefined);
  if (second === undefined) return undefined;
  const companions = new Map<string, FileOrigin>(loader.files.map((file) => [baseName(file.path).toLowerCase(), originOf(file)]));
  companions.set(name, second.origin);
  const first = shim === undefined ? second.origin : originOf(shim);
  return { architecture, first, companions, http: second.http, httpBoot: second.httpBoot && second.http };
}

async function debianGrub(
  name: string,
  inspector: LoaderInspector,
): Promise<{ readonly origin: FileOrigin; readonly http: boolean; readonly httpBoot: boolean } | undefined> {
  const path = DEBIAN_NETWORK_GRUB[name];
  if (path === undefined || (await fileAt(path, "loader")) === undefined) return undefined;
  const traits = await inspector.inspect(path);
  // Debian's signed GRUB finds no network on an HTTP device path.
  return { origin: { kind: "path", path }, http: traits?.http === true, httpBoot: false };
}
