import { describe, expect, it } from "vitest";
import type { System, SystemDisk } from "../src/control/system-operations.ts";
import { FirstAnswers } from "../src/first-answers.ts";
import type { SetupConfig } from "../src/machine/config.ts";

const SSD = { name: "sda", serial: "S5TXNS0R", confirmation: "S5TXNS0R", role: "empty", contents: [] } as unknown as SystemDisk;

/** A board with these disks, and what was asked of it. */
function board(setup: SetupConfig, disks: readonly SystemDisk[], password?: string) {
  const done: string[] = [];
  const told: string[] = [];
  let kept = password;
  const system = {
    hasPassword: () => kept !== undefined,
    setPassword: async (next: string) => {
      kept = next;
      done.push(`password ${next}`);
    },
    disks: async () => disks,
    format: async (name: string, confirmation: string) => done.push(`format ${name} ${confirmation}`),
  } as unknown as System;
  const answers = new FirstAnswers({
    system,
    setup: () => setup,
    edit: async (edit) => done.push(JSON.stringify(edit)),
    tell: (sentence) => told.push(sentence),
  });
  return { answers, done, told };
}

const REMOVED = '{"kind":"set","path":["setup","password"],"value":null}';

describe("a new appliance whose questions are answered in the file on its card", () => {
  it("takes the password, which then no longer stands on a card that anybody can read", async () => {
    const { answers, done } = board({ password: "correct horse" }, []);
    await answers.take(false);
    expect(done).toEqual(["password correct horse", REMOVED]);
  });

  it("makes the empty disk with that serial number the data disk, and no other", async () => {
    const { answers, done } = board({ dataDisk: "S5TXNS0R" }, [{ ...SSD, name: "sdb", serial: "OTHER" }, SSD]);
    await answers.take(true);
    expect(done).toEqual(["format sda S5TXNS0R"]);
  });
});

describe("an appliance that is set up", () => {
  it("does not let a file change its password", async () => {
    const { answers, done, told } = board({ password: "somebody else" }, [], "mine");
    await answers.take(false);
    expect(done).toEqual([REMOVED]);
    expect(told[0]).toContain("there is a password already");
  });

  it("never formats while there is a data disk, nor a disk with anything on it, nor one of two that look alike; each is told once", async () => {
    const photos: SystemDisk = { ...SSD, role: "other", contents: [{ type: "ext4", label: "photos" }] };
    for (const [disks, isMissing, reason] of [
      [[SSD], false, undefined],
      [[], true, "no disk with the serial number S5TXNS0R is here yet"],
      [[photos], true, 'sda (S5TXNS0R) is not empty (ext4 "photos") and is left as it is'],
      [[SSD, { ...SSD, name: "sdb" }], true, "two disks say that they are S5TXNS0R"],
      [[{ ...SSD, role: "data" } as SystemDisk], true, undefined],
      [[{ ...SSD, role: "card" } as SystemDisk], true, "is not empty"],
    ] as const) {
      const { answers, done, told } = board({ dataDisk: "S5TXNS0R" }, disks);
      await answers.take(isMissing);
      await answers.take(isMissing);
      expect(done).toEqual([]);
      expect(told.length).toBe(reason === undefined ? 0 : 1);
      if (reason !== undefined) expect(told[0]).toContain(reason);
    }
  });
});
