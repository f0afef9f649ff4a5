import { describe, expect, it } from "vitest";
import { health } from "../../src/http/monitoring.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { FAULTS, Faults, followFaults, MAX_CAUSES_OF_A_FAULT, reasonsNotToServe, standingFaults } from "../../src/state/faults.ts";
import { Store } from "../../src/state/store.ts";

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function raiser(): { readonly faults: Faults; readonly events: StateEvent[] } {
  const events: StateEvent[] = [];
  return { events, faults: new Faults((event) => events.push(event)) };
}

describe("a fault", () => {
  it("has the number that its light blinks and the issue names", () => {
    expect(FAULTS.map(({ number, name }) => `${number} ${name}`)).toEqual([
      "1 no-data-disk",
      "2 data-disk-failing",
      "3 no-link",
      "4 address-conflict",
      "5 configuration-rejected",
      "6 service-stopped",
      "7 update-failed",
    ]);
  });

  it("stands until its last cause is mended, and is told only when there is something new to tell", () => {
    const { faults, events } = raiser();
    faults.raise("service-stopped", "dhcp", { reason: "dhcp: port 67" });
    faults.raise("service-stopped", "dhcp", { reason: "dhcp: port 67" });
    faults.raise("service-stopped", "tftp", { reason: "tftp: port 69", next: "stop the other one" });
    faults.clear("service-stopped", "dhcp");
    faults.clear("service-stopped", "dhcp");
    faults.clear("service-stopped", "tftp");
    faults.clear("no-link", "eth0");
    const next = 'look into "rackboot status" and the log, and restart rackboot';
    expect(events).toEqual([
      { type: "fault.raised", fault: "service-stopped", reason: "dhcp: port 67", next },
      { type: "fault.raised", fault: "service-stopped", reason: "dhcp: port 67 (and 1 more)", next },
      { type: "fault.raised", fault: "service-stopped", reason: "tftp: port 69", next: "stop the other one" },
      { type: "fault.cleared", fault: "service-stopped" },
    ]);
  });

  it("keeps only so many causes, however many volumes a disk has", () => {
    const { faults, events } = raiser();
    for (let volume = 0; volume < 2 * MAX_CAUSES_OF_A_FAULT; volume++) faults.raise("data-disk-failing", `v${volume}`, { reason: "EIO" });
    expect(events.at(-1)).toMatchObject({ reason: `EIO (and ${MAX_CAUSES_OF_A_FAULT - 1} more)` });
  });

  it("is kept in the state since when it first stood, the lowest number first", () => {
    let nowMs = 10;
    const store = new Store({ now: () => nowMs });
    const faults = new Faults(store.emit);
    faults.raise("update-failed", "slot", { reason: "the new system did not come up" });
    nowMs = 20;
    faults.raise("no-link", "eth0", { reason: "eth0: no cable" });
    nowMs = 30;
    faults.raise("no-link", "eth0", { reason: "eth0: switched off" });
    expect(standingFaults(store.snapshot()).map(({ fault, reason, sinceMs }) => [fault.number, reason, sinceMs])).toEqual([
      [3, "eth0: switched off", 20],
      [7, "the new system did not come up", 10],
    ]);
  });
});

describe("what the daemon's own events raise", () => {
  it("a refused file, a service that ends, a cable that is out; and what mends them", async () => {
    const store = new Store();
    const faults = new Faults(store.emit);
    followFaults(store, faults);
    const standing = (): readonly number[] => standingFaults(store.snapshot()).map(({ fault }) => fault.number);
    store.emit({ type: "config.rejected", file: "rackboot.yaml", problems: ["line 3: no such key"] });
    store.emit({ type: "service.failed", service: "dhcp", reason: "leases cannot be stored" });
    store.emit({ type: "link.down", interface: "eth0", reason: "no cable" });
    store.emit({ type: "service.slipped", service: "http", reason: "one answer" });
    await settle();
    expect(standing()).toEqual([3, 5, 6]);
    store.emit({ type: "config.loaded", file: "rackboot.yaml", machines: [], volumes: [] });
    store.emit({ type: "service.started", service: "dhcp", detail: "server on eth0" });
    store.emit({ type: "link.up", interface: "eth0" });
    await settle();
    expect(standing()).toEqual([]);
  });
});

describe("/healthz", () => {
  it("says 503 and why while machines do not get what they ask for, and ok with what else stands", () => {
    const store = new Store();
    const faults = new Faults(store.emit);
    expect(health(store.snapshot())).toEqual({ status: 503, text: "the daemon is starting" });
    store.emit({ type: "daemon.ready" });
    expect(health(store.snapshot())).toEqual({ status: 200, text: "ok" });
    faults.raise("configuration-rejected", "file", { reason: "line 3: no such key" });
    expect(health(store.snapshot())).toEqual({ status: 200, text: "ok\nfault 5 (configuration-rejected): line 3: no such key" });
    faults.raise("no-link", "eth0", { reason: "eth0: no cable" });
    expect(reasonsNotToServe(store.snapshot())).toEqual(["fault 3 (no-link): eth0: no cable"]);
    expect(health(store.snapshot())).toEqual({ status: 503, text: "fault 3 (no-link): eth0: no cable" });
  });
});
