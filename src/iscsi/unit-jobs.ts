import { type DataPlane, RANGE_WORK_BYTES, type RangeWork, type VolumeId } from "../native/data-plane.ts";
import { dataRuns } from "../native/extents.ts";
import { type Answer, good } from "../scsi/answer.ts";
import { encodeLbaStatus, MAX_LBA_STATUS_DESCRIPTORS } from "../scsi/provisioning.ts";
import type { CopyJob, LbaStatusJob, SanitizeJob } from "../scsi/unit-job.ts";
import type { ServedUnit } from "./units.ts";

/** Octets from `offset` on, in what one call to the data plane may do. `each` is told how much is done. */
async function inSteps(length: number, step: (done: number, octets: number) => Promise<void>): Promise<void> {
  for (let done = 0; done < length; done += RANGE_WORK_BYTES) await step(done, Math.min(RANGE_WORK_BYTES, length - done));
}

export async function tellLbaStatus(unit: ServedUnit, { lba, allocationLength }: LbaStatusJob): Promise<Answer> {
  const startBytes = lba * unit.config.blockSize;
  // What cannot tell data from holes, a block device above all, has data everywhere.
  const everything = [{ startBytes, endBytes: unit.sizeBytes }];
  const runs = await dataRuns(unit.path, startBytes, MAX_LBA_STATUS_DESCRIPTORS).catch(() => everything);
  const last = runs.at(-1);
  // Where the list was cut, nothing is said of what follows.
  const until = runs.length < MAX_LBA_STATUS_DESCRIPTORS || last === undefined ? unit.sizeBytes : last.endBytes;
  return good(encodeLbaStatus(unit, lba, runs, until).subarray(0, allocationLength));
}

/** Copies segment by segment; returns how far it came, and whether all the way. Nothing is flushed. */
export async function copySegments(
  plane: DataPlane,
  { segments }: CopyJob,
  idOf: (naa: string) => VolumeId | undefined,
): Promise<{ readonly segments: number; readonly bytes: number; readonly failed: boolean }> {
  let bytes = 0;
  for (const [index, { source, destination, sourceOffset, offset, length }] of segments.entries()) {
    const from = idOf(source);
    const to = idOf(destination);
    if (from === undefined || to === undefined) return { segments: index, bytes, failed: true };
    try {
      await inSteps(length, async (done, octets) => {
        const work: RangeWork = { offset: offset + done, length: octets, source: from, sourceOffset: sourceOffset + done };
        await plane.workRange(to, work);
        bytes += octets;
      });
    } catch {
      return { segments: index, bytes, failed: true };
    }
  }
  return { segments: segments.length, bytes, failed: false };
}

/** Fills the medium, pass by pass; `progress` is told from 0 to 1. Rejects with what the data plane says. */
export async function sanitizeMedium(
  plane: DataPlane,
  unit: ServedUnit,
  { passes }: SanitizeJob,
  progress: (done: number) => void,
): Promise<void> {
  for (const [pass, pattern] of passes.entries()) {
    await inSteps(unit.sizeBytes, async (done, octets) => {
      await plane.workRange(unit.id, { offset: done, length: octets, ...(pattern !== undefined && { pattern }) });
      progress((pass + (done + octets) / unit.sizeBytes) / passes.length);
    });
  }
  await plane.flush(unit.id);
}
