import { type LeaseTable, OFFERS_MAX } from "../../src/dhcp/leases.ts";
import { DhcpFormatError } from "../../src/dhcp/options.ts";
import { decodePacket, encodePacket, MINIMUM_REPLY_BYTES } from "../../src/dhcp/packet.ts";
import { decide } from "../../src/dhcp/policy.ts";
import { ShortInputError } from "../../src/wire/reader.ts";
import { context, vector } from "../dhcp/support.ts";

export interface FuzzCount {
  readonly inputs: number;
  readonly answered: number;
  readonly ignored: number;
  readonly malformed: number;
}

const SEEDS = [
  "ovmf-pxe-discover",
  "ovmf-http-request",
  "ipxe-bios-discover",
  "dhclient-request",
  "networkmanager-discover",
  "udhcpc-request",
];

/** Numerical Recipes' generator: the same seed makes the same inputs everywhere. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/**
 * What clients sent, damaged, through codec and policy in every mode. Throws what must never be thrown: anything but the two
 * errors of a bad packet, and a reply that cannot be written or read again.
 */
export function fuzzDhcp(inputs: number, seed: number): FuzzCount {
  const random = generator(seed);
  const seeds = SEEDS.map(vector);
  const contexts = (["server", "proxy"] as const).flatMap((mode) =>
    (["lease", "pending", "ignore"] as const).map((unknown) =>
      context({ mode, unknown }, undefined, { file: "grubx64.efi", rootPath: "iscsi:x" }),
    ),
  );
  const count = { inputs, answered: 0, ignored: 0, malformed: 0 };
  for (let turn = 0; turn < inputs; turn++) {
    const bytes = damaged(seeds[turn % seeds.length] ?? new Uint8Array(0), random);
    const given = contexts[random(contexts.length)];
    if (given === undefined) continue;
    given.nowMs += random(2000);
    try {
      const decision = decide(decodePacket(bytes), given);
      if (decision.kind === "ignore") count.ignored++;
      else {
        count.answered++;
        const { bytes: reply } = encodePacket(decision.packet, { maximumBytes: decision.maximumBytes, minimumBytes: MINIMUM_REPLY_BYTES });
        if (reply.length > decision.maximumBytes)
          throw new Error(`a reply of ${reply.length} octets where ${decision.maximumBytes} are taken`);
        decodePacket(reply);
      }
    } catch (error) {
      if (!(error instanceof DhcpFormatError || error instanceof ShortInputError))
        throw new Error(`input ${turn} of seed ${seed}`, { cause: error });
      count.malformed++;
    }
    if (turn % 100_000 === 0) for (const { leases } of contexts) bounded(leases);
  }
  return count;
}

function bounded(leases: LeaseTable): void {
  const held = [...leases.leases].length;
  if (held > OFFERS_MAX) throw new Error(`${held} leases of a pool of four addresses`);
}

/** Some octets changed, a piece cut out or doubled, the end cut off. */
function damaged(seed: Uint8Array, random: (below: number) => number): Uint8Array {
  const bytes = Buffer.from(seed);
  for (let changes = random(6); changes > 0; changes--) bytes[random(bytes.length)] = random(4) === 0 ? 255 : random(256);
  switch (random(6)) {
    case 0:
      return bytes.subarray(0, random(bytes.length));
    case 1: {
      const [from, length] = [240 + random(bytes.length - 240), random(40)];
      return Buffer.concat([bytes.subarray(0, from + length), bytes.subarray(from)]);
    }
    case 2:
      return Buffer.concat([bytes.subarray(0, 240 + random(60)), bytes.subarray(300)]);
    case 3:
      // Option overload: sname and file are read as options.
      return Buffer.concat([bytes.subarray(0, 240), Buffer.of(52, 1, 1 + random(4)), bytes.subarray(240)]);
    default:
      return bytes;
  }
}
