import type { Catalogue, StoredVolume } from "./catalogue.ts";
import { snapshotPath } from "./layout.ts";

/** As many as the data plane looks into. */
const MAX_ANCESTORS = 8;

/**
 * The files of the snapshots that may hold some of a volume's blocks, the deepest first: what it was cloned from, the older
 * snapshots of that one (other clones may hang on them), what that one was cloned from, and so on. They are hints: which
 * blocks are really shared, the file system is asked.
 */
export function ancestorsOf(catalogue: Catalogue, storage: string, volume: StoredVolume): readonly string[] {
  const paths: string[] = [];
  const seen = new Set<string>();
  for (let { origin } = volume.record; origin?.uuid !== undefined && !seen.has(origin.uuid); ) {
    // A circle cannot be made by cloning; should a record claim one, it ends here.
    seen.add(origin.uuid);
    const found = catalogue.findSnapshot(origin.uuid);
    if (found === undefined || paths.length >= MAX_ANCESTORS) break;
    const names = [...found.volume.snapshots.keys()];
    const upTo = names.slice(0, names.indexOf(found.snapshot) + 1).reverse();
    for (const snapshot of upTo) paths.push(snapshotPath(storage, found.volume.name, snapshot));
    ({ origin } = found.volume.record);
  }
  return paths.slice(0, MAX_ANCESTORS).reverse();
}
