/** Octets `offset` to `offset + length` of a disk. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Sorted, without overlaps, neighbours joined: the one spelling of a set of octets. */
export function mergeRanges(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const merged: { offset: number; length: number }[] = [];
  for (const { offset, length } of [...ranges].sort((left, right) => left.offset - right.offset)) {
    if (length <= 0) continue;
    const last = merged.at(-1);
    if (last !== undefined && offset <= last.offset + last.length) {
      last.length = Math.max(last.length, offset + length - last.offset);
    } else {
      merged.push({ offset, length });
    }
  }
  return merged;
}

export function totalBytes(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, range) => sum + range.length, 0);
}

/** Whether a write to `write` touched any of `ranges`, which are merged. */
export function touches(ranges: readonly ByteRange[], write: ByteRange): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const range = ranges[middle];
    if (range === undefined || range.offset + range.length <= write.offset) low = middle + 1;
    else high = middle;
  }
  const first = ranges[low];
  return first !== undefined && first.offset < write.offset + write.length;
}
