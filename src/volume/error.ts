/** A volume cannot be made, changed or opened; the message says why and what to do. Nothing was changed. */
export class VolumeError extends Error {
  readonly code = "ERR_VOLUME";
}

const OF_THE_SYSTEM: Readonly<Record<string, string>> = {
  ENOSPC: "the pool has no room left; delete what nobody needs, or give it a larger disk",
  EDQUOT: "the quota of the store is used up; raise it, or delete what nobody needs",
  EFBIG: "the file system of the store holds no file of that size; choose a smaller size, or put the store on XFS",
  EROFS: "the file system of the store is read-only; see why in the kernel's log",
  EIO: "the disk below the store fails; see the kernel's log, and replace it",
};

/** What a failed system call means to whoever asked for `what`; other errors come back as they are. */
export function explained(what: string, cause: unknown): unknown {
  if (cause instanceof VolumeError) return cause;
  const code = (cause as NodeJS.ErrnoException).code;
  const why = code === undefined ? undefined : OF_THE_SYSTEM[code];
  return why === undefined ? cause : new VolumeError(`${what}: ${why}`, { cause });
}
