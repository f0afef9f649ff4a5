/** Media types by the end of a file's name. EDK2 tells what it got by these (EDK2 HttpBootDxe), or by the name itself. */
const MEDIA_TYPES: readonly (readonly [RegExp, string])[] = [
  [/\.efi(\.signed)?$/i, "application/efi"],
  [/\.iso$/i, "application/vnd.efi-iso"],
  [/\.img$/i, "application/vnd.efi-img"],
  [/\.(cfg|ipxe|ks|txt|conf|lst)$|\/grub\.cfg[^/]*$/i, "text/plain; charset=utf-8"],
  [/\.json$/i, "application/json"],
  [/\.html?$/i, "text/html; charset=utf-8"],
];

export function mediaType(path: string): string {
  return MEDIA_TYPES.find(([pattern]) => pattern.test(path))?.[1] ?? "application/octet-stream";
}

/** First and last octet, both included. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/**
 * What of `sizeBytes` octets a Range header asks for (RFC 9110, 14.1.2). `whole` where there is no header, or one that a
 * server may pass over: another unit, several ranges, bad syntax.
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | "whole" | "unsatisfiable" {
  const [matched, from = "", to = ""] = /^bytes=\s*([0-9]{0,15})-([0-9]{0,15})\s*$/i.exec(header ?? "") ?? [];
  if (matched === undefined || (from === "" && to === "")) return "whole";
  if (from === "") {
    const count = Math.min(Number(to), sizeBytes);
    return count === 0 ? "unsatisfiable" : { first: sizeBytes - count, last: sizeBytes - 1 };
  }
  const first = Number(from);
  if (to !== "" && Number(to) < first) return "whole";
  if (first >= sizeBytes) return "unsatisfiable";
  return { first, last: to === "" ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1) };
}
