import type { VolumeName } from "../../src/machine/identifiers.ts";
import { VolumeOperations } from "../../src/volume/operations.ts";
import { VolumeStore } from "../../src/volume/store.ts";
import { VolumeTransfers } from "../../src/volume/transfer.ts";
import { FakeDataPlane } from "../fakes/data-plane.ts";

/**
 * Does one thing with a store and kills itself at the n-th step of it, as a power button would: `node crash-child.ts STORAGE
 * OPERATION STEP`. Ends by itself, and says how many steps there were, where there are fewer.
 */
const [storage = "", name = "", step = "0"] = process.argv.slice(2);

let steps = 0;
let armed = false;
const store = new VolumeStore({
  dataPlane: new FakeDataPlane(),
  emit: () => undefined,
  now: Date.now,
  onStep: () => {
    if (armed && ++steps === Number(step)) process.kill(process.pid, "SIGKILL");
  },
});
const operations = new VolumeOperations(store, { machinesWith: () => [], fence: async () => undefined });
const transfers = new VolumeTransfers(store, operations);
await store.recover(storage);

async function* stream(): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(1024 ** 2, 7);
}

const renew = async (): Promise<void> => {
  await store.clones.renew("copy" as VolumeName, { boot: 7 }, (commit) => store.swap("copy" as VolumeName, commit));
};

const WORK: Readonly<Record<string, () => Promise<unknown>>> = {
  create: () => operations.create("new", 1024 ** 2),
  clone: () => operations.clone("root", "new"),
  snapshot: () => operations.snapshot("root", "new"),
  rollback: () => operations.rollback("root@v1"),
  resize: () => operations.resize("root", 4 * 1024 ** 2),
  rename: () => operations.rename("copy", "new"),
  deleteVolume: () => operations.delete("copy"),
  deleteSnapshot: () => operations.delete("root@v2"),
  import: () => transfers.importStream(stream(), "new"),
  renew,
};
armed = true;
await WORK[name]?.();
console.log(steps);
