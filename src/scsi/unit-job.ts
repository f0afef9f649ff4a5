/**
 * What a command has done with the medium, beyond reading and writing: told as data, so that this folder stays free of
 * I/O, and done by iscsi/unit-jobs.ts with the data plane. Offsets and lengths are octets.
 */
export type UnitJob = LbaStatusJob | CopyJob | SanitizeJob;

/** GET LBA STATUS (SBC-3, 5.6): what is stored from a block on. */
export interface LbaStatusJob {
  readonly kind: "lba-status";
  readonly lba: number;
  readonly allocationLength: number;
}

export interface CopySegment {
  /** NAA identifiers, hexadecimal. */
  readonly source: string;
  readonly destination: string;
  readonly sourceOffset: number;
  readonly offset: number;
  readonly length: number;
}

/** EXTENDED COPY (LID1) (SPC-4, 6.3). */
export interface CopyJob {
  readonly kind: "copy";
  readonly segments: readonly CopySegment[];
  /** Under which RECEIVE COPY RESULTS asks for it; absent: nobody will. */
  readonly listId?: number;
}

/** SANITIZE (SBC-3, 5.19). */
export interface SanitizeJob {
  readonly kind: "sanitize";
  /** One after the other; undefined: blocks are erased. */
  readonly passes: readonly (Uint8Array | undefined)[];
  /** Answered as soon as it has begun. */
  readonly immediate: boolean;
}

/** What is remembered of a copy. */
export interface CopyResult {
  readonly nexus: string;
  readonly listId: number;
  readonly segments: number;
  readonly bytes: number;
  readonly failed: boolean;
}

/** Copies of one unit that RECEIVE COPY RESULTS may ask for; older ones are forgotten. */
export const MAX_COPY_RESULTS = 32;
