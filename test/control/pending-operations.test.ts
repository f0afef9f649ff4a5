import { expect, test } from "vitest";
import { pendingText } from "../../src/cli/machine-pending.ts";
import type { PendingReport } from "../../src/control/pending-operations.ts";
import { pendingOperations } from "../../src/control/pending-operations.ts";
import { editConfig } from "../../src/machine/config-edit.ts";
import { parseConfig } from "../../src/machine/config-file.ts";
import { parseMac } from "../../src/machine/identifiers.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { Store } from "../../src/state/store.ts";

const MAC = "52:54:00:16:00:30";
const FILE = `network: { interface: eth0, address: 172.16.0.1/24 }
dhcp: { unknown: pending } # until somebody decides
profiles:
  compute: { disks: [{ clone: golden }], ephemeral: true }
`;

/** The file and what asked, behind the operations; what is edited stands in `text`. */
function rig(file: string, ...events: readonly StateEvent[]) {
  const store = new Store({ now: () => Date.now() });
  for (const event of events) store.emit(event);
  const rig = { text: file, call };
  const operations = pendingOperations({
    config: () => {
      const reading = parseConfig(rig.text, "rackboot.yaml");
      if (!reading.ok) throw new Error("the test's file is bad");
      return reading.config;
    },
    state: () => store.snapshot(),
    work: {
      read: () => ({ file: "rackboot.yaml", text: rig.text }),
      edit: async (edit) => {
        const result = editConfig(rig.text, "rackboot.yaml", edit);
        if (!result.ok) throw Object.assign(new Error(result.problems.map(({ found }) => found).join()), { code: "ERR_CONFIG_REFUSED" });
        rig.text = result.text;
        return { file: "rackboot.yaml", notices: [], deferred: [] };
      },
    },
  });
  async function call(name: string, input: unknown): Promise<unknown> {
    const operation = operations[name];
    if (operation?.kind !== "call") throw new Error(`no call ${name}`);
    return await operation.answer(input);
  }
  return rig;
}

const asks: StateEvent = {
  type: "dhcp.pending",
  mac: parseMac(MAC),
  firmware: "uefi-x64-pxe",
  vendorClass: "PXEClient:Arch:00007:UNDI:003001",
  architecture: 7,
  uuid: "4c4c4544-0000-1000-8000-525400160030",
};

test("hardware that asked is listed, with the command that makes a machine of it", async () => {
  const report = (await rig(FILE, asks).call("machine.pending", {})) as PendingReport;
  expect(report).toMatchObject({ unknown: "pending", profiles: ["compute"], machines: [{ mac: MAC, firmware: "uefi-x64-pxe" }] });
  expect(pendingText(report)).toContain(`rackboot machine adopt ${MAC} NAME --profile compute`);
});

test("it becomes a machine with the keys of its profile, and every comment stays", async () => {
  const given = rig(FILE, asks);
  await given.call("machine.adopt", { mac: MAC.toUpperCase(), name: "node7", profile: "compute", address: "172.16.0.30" });
  expect(given.text.slice(FILE.length)).toMatchInlineSnapshot(`
    "machines:
      node7:
        mac: "52:54:00:16:00:30"
        address: 172.16.0.30
        disks: [{ clone: golden }]
        ephemeral: true
    "
  `);
  expect(given.text).toContain("# until somebody decides");
  await expect(given.call("machine.adopt", { mac: MAC, name: "node7" })).rejects.toMatchObject({ code: "ERR_REFUSED" });
});

test("a slip of the pen is told, and changes nothing", async () => {
  const given = rig(FILE, asks);
  const adopt = (input: object) => given.call("machine.adopt", { mac: MAC, name: "node7", ...input });
  await expect(adopt({ profile: "conpute" })).rejects.toMatchObject({ message: "there is no profile conpute: there are compute" });
  await expect(adopt({ mac: "52:54:00:16:00:31" })).rejects.toMatchObject({ code: "ERR_NOT_FOUND" });
  await expect(adopt({ mac: "bread" })).rejects.toMatchObject({ code: "ERR_BAD_INPUT" });
  await expect(adopt({ name: "Node 7" })).rejects.toMatchObject({ code: "ERR_REFUSED" });
  expect(given.text).toBe(FILE);
});

test("where nothing can be held, the command says how that is changed", () => {
  const empty = { machines: [], profiles: [], nowMs: 0 };
  expect(pendingText({ ...empty, unknown: "ignore" })).toContain("rackboot config set dhcp.unknown pending");
  expect(pendingText({ ...empty, unknown: "pending" })).toContain("nothing waits");
});
