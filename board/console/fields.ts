import type { z } from "zod";
import { ipv4, mac, size } from "../../src/machine/config-values.ts";

/** What fields check themselves, so that a slip is told at once; the daemon checks everything again. */
export type Check = (answer: string) => string | undefined;

/** Any whole number of octets; what is allowed where is the daemon's to say. */
const anySize = size(1, Number.MAX_SAFE_INTEGER);

/** `40G` in octets; undefined for what is no size. */
export function sizeOf(text: string): number | undefined {
  const parsed = anySize.safeParse(text.toUpperCase());
  return parsed.success ? parsed.data : undefined;
}

/** By one of the configuration's own values; `sentence` where it is not one. */
export function valueCheck(schema: z.ZodType, sentence: string): Check {
  return (answer) => (schema.safeParse(answer).success ? undefined : sentence);
}

export function orEmpty(check: Check): Check {
  return (answer) => (answer === "" ? undefined : check(answer));
}

export const needed: Check = (answer) => (answer === "" ? "This is needed." : undefined);
export const sizeCheck: Check = (answer) =>
  sizeOf(answer) === undefined ? "A size is a whole number and K, M, G or T, such as 40G." : undefined;
export const ipv4Check: Check = valueCheck(ipv4, "An address is four numbers from 0 to 255, such as 172.16.0.16.");
export const macCheck: Check = valueCheck(mac, "A MAC address is six pairs of hexadecimal digits, such as 52:54:00:16:00:10.");
