import { expect, test } from "vitest";
import { PACKETS_OF_A_MAC_PER_SECOND, PacketPace } from "../../src/dhcp/pace.ts";
import { encodePacket } from "../../src/dhcp/packet.ts";
import { ask, STRANGER, UQBAR } from "./support.ts";

test("a client that is stuck is not heard for the rest of the second, and keeps no other from being heard", () => {
  const pace = new PacketPace(7);
  const [stuck, other] = [STRANGER, UQBAR].map((mac) => encodePacket(ask("discover", mac)).bytes);
  if (stuck === undefined || other === undefined) throw new Error("no packets");
  const admitted = Array.from({ length: 1000 }, () => pace.admit(stuck, 1_000_500)).filter(Boolean);
  expect(admitted).toHaveLength(PACKETS_OF_A_MAC_PER_SECOND);
  expect(pace.admit(other, 1_000_500)).toBe(true);
  expect(pace.admit(stuck, 1_001_000)).toBe(true);
  expect(pace.admit(new Uint8Array(3), 1_001_000)).toBe(true);
});
