import { describe, expect, it } from "vitest";
import { type Admission, MAX_SESSIONS_PER_MACHINE, type Nexus, SessionTable } from "../../src/iscsi/sessions.ts";
import { parseIqn, parseMachineName } from "../../src/machine/identifiers.ts";
import { DRACUT_ISID } from "./support.ts";

function nexus(changes: Partial<Nexus> = {}): Nexus {
  return {
    initiator: parseIqn("iqn.1994-05.com.redhat:uqbar"),
    isid: DRACUT_ISID,
    target: parseIqn("iqn.2026-01.lan.rackboot:uqbar"),
    portalTag: 1,
    machine: parseMachineName("uqbar"),
    ...changes,
  };
}

function table(): { readonly sessions: SessionTable; readonly dropped: number[] } {
  const dropped: number[] = [];
  return { sessions: new SessionTable((connection) => dropped.push(connection)), dropped };
}

/** What a promise has come to by now, without waiting for it. */
async function settled(admission: Promise<Admission>): Promise<Admission["kind"] | "waiting"> {
  return (await Promise.race([admission, new Promise<undefined>((resolve) => setImmediate(resolve, undefined))]))?.kind ?? "waiting";
}

describe("sessions", () => {
  it("reinstates a session, and answers the new login only when the old connection is really over", async () => {
    const { sessions, dropped } = table();
    expect(await sessions.admit(1, 0, nexus())).toEqual({ kind: "admitted", tsih: 1, reinstated: false });
    const second = sessions.admit(2, 0, nexus());
    expect(dropped).toEqual([1]);
    expect(await settled(second)).toBe("waiting");
    sessions.closed(1, true);
    expect(await second).toEqual({ kind: "admitted", tsih: 2, reinstated: true });
    expect([...sessions.sessions()].map(({ connection }) => connection)).toEqual([2]);
  });

  it("knows the initiator that comes back to a session it left without a Logout, as the real root does", async () => {
    const { sessions } = table();
    await sessions.admit(1, 0, nexus());
    sessions.closed(1, false);
    expect(await sessions.admit(2, 0, nexus())).toMatchObject({ reinstated: true });
    sessions.closed(2, true);
    expect(await sessions.admit(3, 0, nexus())).toMatchObject({ reinstated: false });
  });

  it("takes nobody for come back after a new boot has fenced the machine", async () => {
    const { sessions } = table();
    await sessions.admit(1, 0, nexus());
    sessions.closed(1, false);
    await sessions.fence(nexus().machine, "a new boot began");
    expect(await sessions.admit(2, 0, nexus())).toMatchObject({ reinstated: false });
  });

  it("lets the newest of several waiting logins win, and the others go", async () => {
    const { sessions, dropped } = table();
    await sessions.admit(1, 0, nexus());
    const second = sessions.admit(2, 0, nexus());
    const third = sessions.admit(3, 0, nexus());
    expect(dropped).toEqual([1, 1, 2]);
    sessions.closed(1, true);
    expect(await settled(third)).toBe("waiting");
    sessions.closed(2, true);
    expect((await second).kind).toBe("gone");
    expect(await third).toMatchObject({ kind: "admitted", reinstated: true });
  });

  it("does not let a login in whose rival came after it, in whatever order connections end", async () => {
    const { sessions } = table();
    await sessions.admit(1, 0, nexus());
    const second = sessions.admit(2, 0, nexus());
    sessions.closed(1, true);
    // The third comes before the second has noticed that its way is free.
    const third = sessions.admit(3, 0, nexus());
    expect(await second).toEqual({ kind: "gone" });
    sessions.closed(2, true);
    expect((await third).kind).toBe("admitted");
  });

  it("keeps sessions of other ISIDs, initiators and targets, so that two paths can live side by side", async () => {
    const { sessions, dropped } = table();
    await sessions.admit(1, 0, nexus());
    await sessions.admit(2, 0, nexus({ isid: "00023d000002" }));
    await sessions.admit(3, 0, nexus({ initiator: parseIqn("iqn.1994-05.com.redhat:tlon") }));
    await sessions.admit(4, 0, nexus({ target: parseIqn("iqn.2026-01.lan.rackboot:tlon"), machine: parseMachineName("tlon") }));
    await sessions.admit(5, 0, undefined);
    await sessions.admit(6, 0, undefined);
    expect(dropped).toEqual([]);
    expect(sessions.size).toBe(6);
  });

  it("forgets a login whose connection ends while it waits", async () => {
    const { sessions } = table();
    await sessions.admit(1, 0, nexus());
    const second = sessions.admit(2, 0, nexus());
    sessions.closed(2, true);
    sessions.closed(1, true);
    expect(await second).toEqual({ kind: "gone" });
    expect(sessions.size).toBe(0);
  });

  it("fences a machine: all its sessions and waiting logins end, and nobody else's", async () => {
    const { sessions, dropped } = table();
    await sessions.admit(1, 0, nexus());
    await sessions.admit(2, 0, nexus({ isid: "00023d000002" }));
    await sessions.admit(3, 0, nexus({ target: parseIqn("iqn.2026-01.lan.rackboot:tlon"), machine: parseMachineName("tlon") }));
    let over = false;
    const fence = sessions.fence(parseMachineName("uqbar"), "a new boot").then(() => {
      over = true;
    });
    expect(dropped).toEqual([1, 2]);
    sessions.closed(1, true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(over).toBe(false);
    sessions.closed(2, true);
    await fence;
    expect(sessions.size).toBe(1);
  });

  it("does not let one machine take every session there is", async () => {
    const { sessions } = table();
    for (let i = 0; i < MAX_SESSIONS_PER_MACHINE; i++) await sessions.admit(i + 1, 0, nexus({ isid: `${i}`.padStart(12, "0") }));
    expect((await sessions.admit(1000, 0, nexus({ isid: "ffffffffffff" }))).kind).toBe("full");
    const again = sessions.admit(1001, 0, nexus({ isid: "000000000000" }));
    sessions.closed(1, true);
    expect((await again).kind).toBe("admitted");
  });

  it("finds the connection of a session by its TSIH, and none for one that is over", async () => {
    const { sessions } = table();
    await sessions.admit(1, 4, nexus());
    expect(sessions.cidOf(1)).toBe(4);
    sessions.closed(1, true);
    expect(sessions.cidOf(1)).toBeUndefined();
  });
});
