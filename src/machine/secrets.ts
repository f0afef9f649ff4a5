import { z } from "zod";
import { line } from "./config-values.ts";
import type { MachineName } from "./identifiers.ts";

/** One direction of CHAP (RFC 1994; RFC 7143, 12.1.3): who, and what only the two of them know. */
export interface ChapCredential {
  readonly user: string;
  readonly secret: string;
}

/** What a machine proves itself with; with `mutual` the target proves itself as well. */
export interface ChapSecrets extends ChapCredential {
  readonly mutual?: ChapCredential;
}

export type Secrets = ReadonlyMap<MachineName, ChapSecrets>;

/** RFC 7143, 12.1.3: shorter than 96 bits must not be used without IPsec. */
const MIN_SECRET_OCTETS = 12;
/** CHAP_N and the secret are text values of login: 255 octets (RFC 7143, 6.1). */
const MAX_CHAP_OCTETS = 255;

const credential = {
  user: line(`a user name of 1 to ${MAX_CHAP_OCTETS} printable characters`, 1, MAX_CHAP_OCTETS),
  secret: line(`a secret of ${MIN_SECRET_OCTETS} to ${MAX_CHAP_OCTETS} printable characters`, MIN_SECRET_OCTETS, MAX_CHAP_OCTETS),
};

/** One entry of the secrets file: `machine: { user, secret, mutual: { user, secret } }`. */
export const chapSecrets: z.ZodType<ChapSecrets> = z
  .strictObject(
    { ...credential, mutual: z.strictObject(credential, { error: "{ user, secret }" }).exactOptional() },
    { error: "{ user, secret }" },
  )
  // RFC 7143, 12.1.3: with one secret for both directions, a peer's answer could be reflected.
  .refine((entry) => entry.mutual === undefined || entry.mutual.secret !== entry.secret, {
    path: ["mutual", "secret"],
    error: "a secret other than the machine's own",
    params: { found: "the same secret in both directions" },
  });
