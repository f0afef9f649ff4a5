import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { normalPath, pathOfTarget } from "../../src/boot/paths.ts";
import { parseRange } from "../../src/http/content.ts";
import { negotiate } from "../../src/tftp/options.ts";
import { decodePacket, encodePacket, TftpPacketError } from "../../src/tftp/packet.ts";
import { amount, record } from "./record.ts";

/** What TFTP and HTTP read from strangers, on ten million inputs: captured packets with octets changed, cut, doubled and moved. */

const VECTORS = join(import.meta.dirname, "..", "vectors", "tftp");
const LIMITS = { blksize: 1468, windowsize: 64 };

/** mulberry32: the same inputs for the same seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

function mutated(seed: Uint8Array, random: () => number): Uint8Array {
  let octets = Buffer.from(seed);
  for (let changes = 1 + (random() % 6); changes > 0 && octets.length > 0; changes--) {
    const at = random() % octets.length;
    const kind = random() % 4;
    if (kind === 0) octets[at] = random();
    else if (kind === 1) octets = octets.subarray(0, at);
    else if (kind === 2) octets = Buffer.concat([octets.subarray(0, at), octets.subarray(random() % octets.length)]);
    else octets[at] = [0, 0x25, 0x2e, 0x2f, 0x5c, 0x2d, 0xff][random() % 7] ?? 0;
  }
  return octets.subarray(0, 2048);
}

/** Throws where something other than "no TFTP packet" comes out, or what was read is not what is written again. */
function read(octets: Uint8Array): boolean {
  const text = Buffer.from(octets).toString("latin1");
  const target = pathOfTarget(`/${text}`);
  for (const path of [text, ...(target === undefined ? [] : [target])]) {
    const normal = normalPath(path);
    if ("segments" in normal && normal.segments.some((segment) => segment === ".." || /[/\\\0]/.test(segment)))
      throw new Error(`a path leads out: ${path}`);
  }
  const range = parseRange(`bytes=${text}`, 1000);
  if (typeof range === "object" && !(range.first >= 0 && range.first <= range.last && range.last < 1000))
    throw new Error(`a range is outside: ${text}`);
  try {
    const packet = decodePacket(octets);
    if (packet.kind === "rrq" || packet.kind === "wrq") {
      const { blksize, windowsize } = negotiate(packet.options, LIMITS, 1_000_000);
      if (blksize > LIMITS.blksize || blksize < 8 || windowsize > LIMITS.windowsize || windowsize < 1)
        throw new Error("an option is beyond its limit");
    }
    const again = encodePacket(packet);
    if (Buffer.compare(encodePacket(decodePacket(again)), again) !== 0) throw new Error("it does not come back as it was");
    return true;
  } catch (error) {
    if (error instanceof TftpPacketError) return false;
    throw error;
  }
}

test("ten million inputs are read, or refused with a reason", () => {
  const inputs = amount("CODEC_INPUTS", 10_000_000);
  const seeds = readdirSync(VECTORS)
    .filter((name) => name.endsWith(".hex"))
    .map((name) => Buffer.from(readFileSync(join(VECTORS, name), "latin1").replaceAll("\n", ""), "hex"));
  const random = generator(8);
  // Most inputs end in an error, and nobody reads where it was made.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  onTestFinished(() => {
    Error.stackTraceLimit = stackTraceLimit;
  });
  let taken = 0;
  const begunMs = performance.now();
  for (let count = 0; count < inputs; count++) {
    const octets = mutated(seeds[count % seeds.length] ?? new Uint8Array(), random);
    try {
      if (read(octets)) taken++;
    } catch (error) {
      throw new Error(`input ${Buffer.from(octets).toString("hex")}`, { cause: error });
    }
  }
  record("codec-fuzz", { inputs, packets: taken, refused: inputs - taken, seconds: Math.round((performance.now() - begunMs) / 1000) });
  expect(taken).toBeGreaterThan(inputs / 100);
});
