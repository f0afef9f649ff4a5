import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loaderChains } from "../../../src/boot/disk/chains.ts";
import type { DiskFindings, DiskLoader } from "../../../src/boot/disk/disk-boot.ts";
import { LoaderInspector } from "../../../src/boot/file-system.ts";
import { DEBIAN_NETWORK_GRUB } from "../../../src/boot/loaders.ts";
import type { LoaderChain } from "../../../src/boot/plan.ts";

const PLAIN = { network: true, http: true, shim: false, debian: false };

function loader(changes: Partial<DiskLoader> = {}): DiskLoader {
  const file = (name: string): DiskLoader["files"][number] => ({ device: "loop0,gpt1", path: `/EFI/redhat/${name}`, sizeBytes: 1 });
  const [shim, grub] = [file("shimx64.efi"), file("grubx64.efi")];
  return { vendor: "redhat", architecture: "x64", shim, grub, grubTraits: PLAIN, files: [shim, grub, file("MMX64.EFI")], ...changes };
}

function chains(...loaders: readonly DiskLoader[]): Promise<readonly LoaderChain[]> {
  const findings: DiskFindings = { entries: [], menu: [], variables: new Map(), loaders, unifiedKernels: [], notes: [] };
  return loaderChains(findings, ({ path }) => ({ kind: "path", path }), new LoaderInspector());
}

const paths = (chain: LoaderChain | undefined): Readonly<Record<string, string>> =>
  Object.fromEntries([...(chain?.companions ?? [])].map(([name, origin]) => [name, origin.path]));

describe("a disk's own boot loader", () => {
  test("is shim, the GRUB that it accepts, and what lies beside them", async () => {
    const [chain] = await chains(loader());
    expect(chain).toMatchObject({ first: { path: "/EFI/redhat/shimx64.efi" }, http: true, httpBoot: true });
    expect(paths(chain)).toEqual({
      "shimx64.efi": "/EFI/redhat/shimx64.efi",
      "grubx64.efi": "/EFI/redhat/grubx64.efi",
      "mmx64.efi": "/EFI/redhat/MMX64.EFI",
    });
  });

  test("is GRUB where there is no shim", async () => {
    const { shim: _, ...bare } = loader();
    expect((await chains(bare))[0]?.first.path).toBe("/EFI/redhat/grubx64.efi");
  });

  test("is of no use where its GRUB has no network and its signer no other: this system's takes its place", async () => {
    expect(await chains(loader({ grubTraits: { ...PLAIN, network: false } }))).toEqual([]);
    const { grub: _grub, grubTraits: _traits, ...shimOnly } = loader();
    expect(await chains(shimOnly)).toEqual([]);
  });

  test.skipIf(!existsSync(DEBIAN_NETWORK_GRUB["grubx64.efi"] ?? ""))("of Debian is led to Debian's GRUB that has a network", async () => {
    const [chain] = await chains(loader({ vendor: "debian", grubTraits: { ...PLAIN, network: false, debian: true } }));
    expect(chain).toMatchObject({ first: { path: "/EFI/redhat/shimx64.efi" }, httpBoot: false });
    expect(paths(chain)["grubx64.efi"]).toBe(DEBIAN_NETWORK_GRUB["grubx64.efi"]);
  });
});
