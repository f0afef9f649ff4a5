import { copyFileSync, readFileSync } from "node:fs";
import { afterAll, describe, expect, test, vi } from "vitest";
import { decide } from "../../../src/boot/disk/decide.ts";
import { findDiskBoot } from "../../../src/boot/disk/find.ts";
import { type DiskLook, openDisk } from "../../../src/volume/look/disk.ts";
import { LookError } from "../../../src/volume/look/error.ts";
import { MAX_READERS } from "../../../src/volume/look/slots.ts";
import { rhelBoot } from "../../boot/disk/disks.ts";
import { ext4, gpt, MIB, mbr, physicalVolume, put, readerPrograms, scratch, vfat, xfs } from "./images.ts";

/** Seconds for each kind of disk; RACKBOOT_FUZZ_SECONDS makes a long run of it. */
const SECONDS = Number(process.env["RACKBOOT_FUZZ_SECONDS"] ?? 4);
vi.setConfig({ testTimeout: SECONDS * 1000 + 60_000, hookTimeout: 60_000 });

const programs = readerPrograms();
const place = scratch();
afterAll(() => place.remove());

const BOOT = { ...rhelBoot("", ["5.14.0-1.el9"], {}), "initramfs-5.14.0-1.el9.img": "small" };

const DISKS: readonly (readonly [name: string, device: string, make: (path: string) => string | Promise<string>])[] = [
  ["ext4", "loop0", (path) => ext4(path, BOOT, { sizeBytes: 16 * MIB })],
  ["xfs", "loop0", (path) => xfs(path, BOOT)],
  [
    "vfat behind a GPT",
    "loop0,gpt1",
    async (path) => gpt(path, 48 * MIB, [{ image: vfat(`${path}.fs`, BOOT, { sizeBytes: 40 * MIB }), sizeBytes: 40 * MIB, type: "esp" }]),
  ],
  [
    "LVM behind an MBR",
    "lvm/rhel-root",
    async (path) =>
      mbr(path, 48 * MIB, [
        {
          image: await physicalVolume(`${path}.pv`, ext4(`${path}.fs`, BOOT, { sizeBytes: 16 * MIB }), { sizeBytes: 40 * MIB }),
          sizeBytes: 40 * MIB,
          type: "lvm",
        },
      ]),
  ],
];

/** A generator that a seed repeats (xorshift32). */
function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Outcomes = Map<string, number>;

/** One search in twenty is a whole one; the rest is a single reader, so that many disks are tried. */
const WHOLE_SEARCH = 20;

async function whole(look: DiskLook): Promise<string> {
  const findings = await findDiskBoot(look);
  // Whatever is offered can be chosen from, and where nothing is offered somebody is told why.
  decide(findings);
  return findings.entries.length > 0 ? "boots" : findings.notes.length > 0 ? "nothing, with a reason" : "silence";
}

async function single(look: DiskLook, device: string, pick: number): Promise<string> {
  if (pick === 0) await look.devices();
  else if (pick === 1) await look.list(device, "/");
  else if (pick === 2) await look.list(device, "/loader/entries");
  else await look.read(device, "/grub2/grubenv");
  return "read";
}

describe.each(DISKS)("%s with wrong octets", (name, device, make) => {
  test("ends in findings or a reason, every time", async () => {
    const origin = await make(place.path(name.replaceAll(/\W/g, "")));
    const sound = await openDisk(origin, { programs });
    expect(await whole(sound)).toBe("boots");
    await sound.close();
    // Only what a look reads is worth damaging; of that, what is not empty.
    const octets = readFileSync(origin);
    const places = sound.touched.flatMap(({ offset, length }) =>
      Array.from({ length: Math.ceil(length / 64) }, (_, index) => offset + index * 64).filter((at) =>
        octets.subarray(at, at + 64).some((octet) => octet !== 0),
      ),
    );
    const outcomes: Outcomes = new Map();
    const end = performance.now() + SECONDS * 1000;
    const seed = Date.now() >>> 0;
    const worker = async (number: number): Promise<void> => {
      const image = `${origin}.${number}`;
      copyFileSync(origin, image);
      const next = random(seed + number * 7919);
      while (performance.now() < end) {
        const mutations = Array.from({ length: 1 + next(6) }, () => ({
          at: (places[next(places.length)] ?? 0) + next(64),
          bytes: Buffer.from(Array.from({ length: 1 + next(8) }, () => (next(3) === 0 ? ([0, 255, 127, 128][next(4)] ?? 0) : next(256)))),
        }));
        for (const { at, bytes } of mutations) await put(image, at, bytes);
        const look = await openDisk(image, { programs });
        const outcome = await (next(WHOLE_SEARCH) === 0 ? whole(look) : single(look, device, next(4))).catch((cause: unknown) =>
          cause instanceof LookError ? `${cause.failure}` : `seed ${seed}: ${(cause as Error).stack}`,
        );
        await look.close();
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        for (const { at, bytes } of mutations) await put(image, at, octets.subarray(at, at + bytes.length));
      }
    };
    await Promise.all(Array.from({ length: MAX_READERS }, (_, number) => worker(number)));
    console.log(`${name}: ${[...outcomes].map(([what, count]) => `${what} ${count}`).join(", ")}`);
    for (const outcome of outcomes.keys()) {
      expect(["boots", "nothing, with a reason", "read", "not-found", "unreadable", "too-long", "too-large"]).toContain(outcome);
    }
  });
});
