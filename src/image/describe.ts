import { createHash } from "node:crypto";
import type { ImageFacts } from "../machine/image.ts";
import type { CopyProgress } from "../machine/volume.ts";
import { ImageError } from "./error.ts";
import { contentOf, contentOfSmall, type MediumTree } from "./tree.ts";
import { MAX_TREEINFO_BYTES, parseTreeInfo, type TreeInfo } from "./treeinfo.ts";

export interface DescribeOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
  /** false: files are not read to the end for their checksums. */
  readonly verify?: boolean;
}

/** Released systems whose Anaconda is spoken to as that of RHEL with the same major version. */
const RHEL_FAMILY = /^(red hat enterprise linux|rhel|centos( stream)?|rocky( linux)?|alma ?linux|oracle linux|circle linux|eurolinux)/i;
const RHEL_MAJORS = [8, 9, 10];
const ARCHITECTURES: Readonly<Record<string, ImageFacts["architecture"]>> = { x86_64: "x64", aarch64: "aa64", amd64: "x64", arm64: "aa64" };
const PIECE_BYTES = 1024 * 1024;
/** version.info and Release are lines of text. */
const MAX_TEXT_BYTES = 1024 * 1024;

/**
 * What a medium installs, and by which of its files. Every file whose checksum the medium states is read and compared. Throws
 * {@link ImageError} for a medium that nothing can be installed from here.
 */
export async function describe(tree: MediumTree, options: DescribeOptions = {}): Promise<ImageFacts> {
  const treeInfo = (await tree.file(".treeinfo")) ?? (await tree.file("treeinfo"));
  if (treeInfo !== undefined) {
    return await describeAnaconda(tree, parseTreeInfo((await contentOfSmall(treeInfo, MAX_TREEINFO_BYTES)).toString("utf8")), options);
  }
  for (const architecture of ["amd64", "arm64"] as const) {
    if ((await tree.file(`debian-installer/${architecture}/linux`)) !== undefined) return await describeDebian(tree, architecture);
  }
  if ((await tree.file(".disk/info")) !== undefined) {
    throw new ImageError(
      "it is a Debian disc, whose installer wants to be read from a drive; unpack Debian's netboot.tar.gz, and import that folder",
    );
  }
  throw new ImageError("it has neither the .treeinfo of RHEL and its rebuilds nor the debian-installer/ of Debian's netboot.tar.gz");
}

async function describeAnaconda(tree: MediumTree, info: TreeInfo, options: DescribeOptions): Promise<ImageFacts> {
  const { system, version, arch, images } = info;
  const major = Number(/^[0-9]+/.exec(version)?.[0] ?? Number.NaN);
  const architecture = ARCHITECTURES[arch];
  if (!RHEL_FAMILY.test(system) || !RHEL_MAJORS.includes(major)) {
    throw new ImageError(`it is ${system} ${version}; what can be installed is RHEL ${RHEL_MAJORS.join(", ")} and its rebuilds`);
  }
  if (architecture === undefined) throw new ImageError(`it is for ${arch}; machines here are x86_64 or aarch64`);
  const need = async (key: string, otherwise: string): Promise<string> => {
    const path = images.get(key) ?? otherwise;
    if ((await tree.file(path)) === undefined) throw new ImageError(`its .treeinfo names ${path}, which is not on it; copy it anew`);
    return path;
  };
  const kernel = await need("kernel", "images/pxeboot/vmlinuz");
  const initrd = await need("initrd", "images/pxeboot/initrd.img");
  return {
    installer: "anaconda",
    system,
    version,
    major,
    architecture,
    kernel,
    initrd,
    ...(await loaders(tree, `EFI/BOOT/BOOT${architecture.toUpperCase()}.EFI`, `EFI/BOOT/grub${architecture}.efi`)),
    packages: (await tree.file("BaseOS/repodata/repomd.xml")) !== undefined || (await tree.file("repodata/repomd.xml")) !== undefined,
    verified: options.verify === false ? 0 : await verify(tree, info.checksums, options),
  };
}

/** Debian's netboot.tar.gz, or what its package debian-installer-*-netboot-* has; with an archive beside it or without. */
async function describeDebian(tree: MediumTree, arch: "amd64" | "arm64"): Promise<ImageFacts> {
  const folder = `debian-installer/${arch}`;
  const architecture = arch === "amd64" ? "x64" : "aa64";
  if ((await tree.file(`${folder}/initrd.gz`)) === undefined)
    throw new ImageError(`it has no ${folder}/initrd.gz; unpack Debian's netboot.tar.gz anew`);
  const text = await tree.file("version.info");
  const words = text === undefined ? "" : (await contentOfSmall(text, MAX_TEXT_BYTES)).toString("utf8");
  // "Debian version:  13 (trixie)"
  const [, version, codename] = /^Debian version:\s*([0-9]+)[0-9.]*\s*(?:\(([a-z]+)\))?/m.exec(words) ?? [];
  if (version === undefined)
    throw new ImageError("its version.info does not say which Debian it is; unpack the whole of Debian's netboot.tar.gz");
  return {
    installer: "debian-installer",
    system: "Debian",
    version,
    major: Number(version),
    ...(codename === undefined ? {} : { codename }),
    architecture,
    kernel: `${folder}/linux`,
    initrd: `${folder}/initrd.gz`,
    ...(await loaders(tree, `${folder}/bootnet${architecture}.efi`, `${folder}/grub${architecture}.efi`)),
    packages: codename !== undefined && (await tree.file(`dists/${codename}/Release`)) !== undefined,
    verified: 0,
  };
}

async function loaders(tree: MediumTree, shim: string, grub: string): Promise<{ readonly shim?: string; readonly grub?: string }> {
  return {
    ...((await tree.file(shim)) === undefined ? {} : { shim }),
    ...((await tree.file(grub)) === undefined ? {} : { grub }),
  };
}

/** Returns how many files have the SHA-256 that the medium states. Throws for the first that has another, or is missing. */
async function verify(tree: MediumTree, checksums: ReadonlyMap<string, string>, options: DescribeOptions): Promise<number> {
  const files = [];
  for (const [path, sha256] of checksums) {
    const file = await tree.file(path);
    if (file === undefined) throw new ImageError(`its .treeinfo states a checksum of ${path}, which is not on it; copy it anew`);
    files.push({ path, sha256, file });
  }
  const totalBytes = files.reduce((sum, { file }) => sum + file.sizeBytes, 0);
  let doneBytes = 0;
  for (const { path, sha256, file } of files) {
    const hash = createHash("sha256");
    for await (const piece of contentOf(file, PIECE_BYTES)) {
      options.signal?.throwIfAborted();
      hash.update(piece);
      doneBytes += piece.length;
      options.onProgress?.({ doneBytes, totalBytes });
    }
    if (hash.digest("hex") !== sha256) throw new ImageError(`${path} is not what its .treeinfo says (SHA-256); copy it anew`);
  }
  return files.length;
}
