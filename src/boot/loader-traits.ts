/** What a boot loader's own octets tell of it. */
export interface LoaderTraits {
  /** GRUB with its tftp module: only tftp.c asks for a blksize. */
  readonly network: boolean;
  /** GRUB with its http module. */
  readonly http: boolean;
  readonly shim: boolean;
  /** Debian's certificate authority is in it: as the issuer of its signature, or as the vendor whose GRUB this shim accepts. */
  readonly debian: boolean;
}

/** Every shim since 15.3 names itself in its .sbat section. */
export function loaderTraits(image: Uint8Array): LoaderTraits {
  const octets = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  return {
    network: octets.includes("blksize"),
    http: octets.includes("HTTP/1.1"),
    shim: octets.includes("UEFI shim,shim"),
    debian: octets.includes("Debian Secure Boot"),
  };
}
