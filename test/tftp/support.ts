import { readFileSync } from "node:fs";

/** One captured packet of test/vectors/tftp; the .info beside it is its decoding by tshark. */
export function vector(name: string): Uint8Array {
  const text = readFileSync(new URL(`../vectors/tftp/${name}.hex`, import.meta.url), "utf8");
  return new Uint8Array(Buffer.from(text.replaceAll("\n", ""), "hex"));
}

export function vectorInfo(name: string): string {
  return readFileSync(new URL(`../vectors/tftp/${name}.info`, import.meta.url), "utf8");
}
