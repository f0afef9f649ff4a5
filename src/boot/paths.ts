/** A path that no client needs to send. */
const MAX_PATH_LENGTH = 1024;

/** The segments of a path, none of them empty, `.` or `..`; or why there is no such path. */
export type NormalPath = { readonly segments: readonly string[] } | { readonly reason: string };

/**
 * Makes one spelling of the many that firmware has for a path: `\EFI\x.efi`, `/EFI//x.efi` and `EFI/./x.efi` are the
 * same. `..` goes up lexically and never above the root. Nothing is percent-decoded here: TFTP has no such thing, and an
 * HTTP target goes through {@link pathOfTarget} first, once.
 */
export function normalPath(path: string): NormalPath {
  if (path.length > MAX_PATH_LENGTH) return { reason: `the path has more than ${MAX_PATH_LENGTH} characters` };
  if (hasControlCharacter(path)) return { reason: "the path has a control character in it" };
  const segments: string[] = [];
  for (const segment of path.replaceAll("\\", "/").split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment !== "..") segments.push(segment);
    else if (segments.pop() === undefined) return { reason: "the path leads above the root" };
  }
  return segments.length === 0 ? { reason: "the path names no file" } : { segments };
}

function hasControlCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

/**
 * The path of an HTTP request target (RFC 9112, 3.2): without query, percent-decoded once. `undefined` where the target is
 * no path or its escapes are no UTF-8.
 */
export function pathOfTarget(target: string): string | undefined {
  const absolute = /^https?:\/\/[^/]*(\/.*)?$/i.exec(target);
  const path = absolute === null ? target : (absolute[1] ?? "/");
  if (!path.startsWith("/")) return undefined;
  const end = path.search(/[?#]/);
  try {
    return decodeURIComponent(end < 0 ? path : path.slice(0, end));
  } catch {
    return undefined;
  }
}

/** A path as it stands in a URL. Slashes stay. */
export function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
