/** What several runs of one measurement say together. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** (most - least) / median; 0 for one run or a median of 0. */
  readonly spread: number;
}

/** The middle of the values; of an even number of them the mean of the middle two. Throws RangeError for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new RangeError("the median of nothing");
  return (lower + upper) / 2;
}

/** Throws RangeError for no values. */
export function summarize(values: readonly number[]): Summary {
  const middle = median(values);
  const least = Math.min(...values);
  const most = Math.max(...values);
  return { median: middle, least, most, spread: middle === 0 ? 0 : (most - least) / middle };
}

/** Three significant digits at most, thousands as K, millions as M, and nothing that a column of figures does not need: 2244, 41.8K, 0.59. */
export function compact(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value >= 1e7) return `${compact(value / 1e6)}M`;
  if (value >= 10_000) return `${compact(value / 1e3)}K`;
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}
