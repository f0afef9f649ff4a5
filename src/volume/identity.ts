import { createHash } from "node:crypto";

/**
 * The unit serial number (SPC-4, 7.8.15) and the NAA identifier (locally assigned, 7.8.5.6.3) of a volume: derived from
 * what it was given once and never again, so that they are stable over restarts and never those of a clone's origin.
 */
export function identity(uuid: string, serial: string | undefined): { serial: string; naa: Uint8Array } {
  const digest = createHash("sha256").update(`rackboot volume ${uuid}`).digest();
  const naa = Uint8Array.from(digest.subarray(0, 8));
  naa[0] = 0x30 | ((naa[0] ?? 0) & 0x0f);
  return { serial: serial ?? uuid.replaceAll("-", "").slice(0, 20), naa };
}
