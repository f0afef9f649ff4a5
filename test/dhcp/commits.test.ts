import { expect, test, vi } from "vitest";
import { ACKS_WAITING_MAX, GATHER_MS, LeaseCommits, RUSH_LEASES } from "../../src/dhcp/commits.ts";
import type { Lease } from "../../src/dhcp/leases.ts";
import { parseIpv4 as ip, type Mac } from "../../src/machine/identifiers.ts";

/** A disk that takes as long as the test says. */
class SlowStore {
  readonly groups: (readonly Lease[])[] = [];
  #end: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  commit(leases: readonly Lease[]): Promise<void> {
    expect(this.#end).toBeUndefined();
    this.groups.push(leases);
    return new Promise((resolve, reject) => {
      this.#end = { resolve, reject };
    });
  }

  async end(reason?: string): Promise<void> {
    const end = this.#end;
    this.#end = undefined;
    if (reason === undefined) end?.resolve();
    else end?.reject(new Error(reason));
    // Whatever follows from it is in microtasks.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const lease = (client: number, address: string, expiresMs = 1): Lease => ({
  mac: `02:00:00:00:00:0${client}` as Mac,
  address: ip(address),
  expiresMs,
});

function given(): { store: SlowStore; commits: LeaseCommits; told: string[] } {
  const store = new SlowStore();
  const told: string[] = [];
  const commits = new LeaseCommits(store, {
    failed: (reason) => told.push(`failed: ${reason}`),
    recovered: () => told.push("recovered"),
  });
  return { store, commits, told };
}

test("nobody is told before the disk has his lease, and what comes meanwhile is one group", async () => {
  const { store, commits, told } = given();
  const add = (client: number): boolean =>
    commits.add(lease(client, `10.0.0.${client}`), (isDurable) => told.push(`${client} ${isDurable}`));
  add(1);
  add(2);
  await Promise.resolve();
  for (const client of [3, 4, 5]) add(client);
  expect(told).toEqual([]);
  await store.end();
  expect(told).toEqual(["1 true", "2 true"]);
  await store.end();
  expect(told).toEqual(["1 true", "2 true", "3 true", "4 true", "5 true"]);
  expect(store.groups.map((group) => group.length)).toEqual([2, 3]);
  await commits.settled();
});

test("an address that goes from one client to another in one group is the other's", async () => {
  const { store, commits } = given();
  commits.add(lease(1, "10.0.0.1"));
  commits.add(lease(2, "10.0.0.2"));
  commits.add(lease(1, "10.0.0.2"));
  await Promise.resolve();
  expect(store.groups).toEqual([[lease(2, "10.0.0.2"), lease(1, "10.0.0.2")]]);
  await store.end();
});

test("what could not be stored is stored with the next lease, unless its client has a newer one, and before those", async () => {
  const { store, commits, told } = given();
  commits.add(lease(1, "10.0.0.1"), (isDurable) => told.push(`1 ${isDurable}`));
  commits.add(lease(2, "10.0.0.2"));
  await Promise.resolve();
  commits.add(lease(2, "10.0.0.3"));
  await store.end("disk full");
  expect(told).toEqual(["failed: disk full", "1 false"]);
  expect(store.groups).toHaveLength(1);
  commits.add(lease(3, "10.0.0.1"), (isDurable) => told.push(`3 ${isDurable}`));
  await Promise.resolve();
  expect(store.groups[1]).toEqual([lease(1, "10.0.0.1"), lease(2, "10.0.0.3"), lease(3, "10.0.0.1")]);
  await store.end();
  expect(told.slice(2)).toEqual(["recovered", "3 true"]);
});

test("a disk that stalls makes a bounded number wait; the others are dropped, and their leases stored", async () => {
  const { store, commits } = given();
  let told = 0;
  const settled = (): void => {
    told++;
  };
  commits.add(lease(1, "10.0.0.1"), settled);
  await Promise.resolve();
  for (let n = 0; n < ACKS_WAITING_MAX; n++) expect(commits.add(lease(2, "10.0.0.2", n), settled)).toBe(true);
  expect(commits.add(lease(3, "10.0.0.3"), settled)).toBe(false);
  await store.end();
  expect(store.groups[1]).toEqual([lease(2, "10.0.0.2", ACKS_WAITING_MAX - 1), lease(3, "10.0.0.3")]);
  await store.end();
  expect(told).toBe(ACKS_WAITING_MAX + 1);
});

test("a service that ends waits for what is under way", async () => {
  const { store, commits } = given();
  commits.add(lease(1, "10.0.0.1"));
  let ended = false;
  const end = commits.settled().then(() => {
    ended = true;
  });
  await Promise.resolve();
  commits.add(lease(2, "10.0.0.2"));
  await store.end();
  expect(ended).toBe(false);
  await store.end();
  await end;
});

test("in a rush leases gather for a moment, and a client that comes alone does not wait for others", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  try {
    const { store, commits } = given();
    for (let client = 1; client <= RUSH_LEASES; client++) commits.add(lease(client, `10.0.0.${client}`));
    await Promise.resolve();
    expect(store.groups).toHaveLength(1);
    await store.end();
    commits.add(lease(1, "10.0.0.1", 2));
    await new Promise((resolve) => setImmediate(resolve));
    expect(store.groups).toHaveLength(1);
    commits.add(lease(2, "10.0.0.2", 2));
    await vi.advanceTimersByTimeAsync(GATHER_MS);
    expect(store.groups[1]).toHaveLength(2);
    await store.end();
    commits.add(lease(3, "10.0.0.3", 2));
    await Promise.resolve();
    expect(store.groups[2]).toHaveLength(1);
    await store.end();
  } finally {
    vi.useRealTimers();
  }
});
