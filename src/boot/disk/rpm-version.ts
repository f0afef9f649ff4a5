/** Which of two is newer: 1 the left, -1 the right, 0 neither. */
export type Order = -1 | 0 | 1;

/** A run of letters or of digits, or a separator that means something. Everything else only parts segments. */
const SEGMENT = /[0-9]+|[A-Za-z]+|[~+]/g;

/**
 * Compares two versions as the blscfg command of Red Hat's GRUB does, which follows rpmvercmp: segment by segment, numbers by
 * value, letters by their codes, a number newer than letters, what is longer newer. `~` sorts before everything, even before
 * the end. `+` sorts after the end and before everything else. `^`, which rpm itself knows, is a plain separator to GRUB: what
 * counts here is what GRUB would boot.
 */
export function compareVersions(left: string, right: string): Order {
  const lefts = left.match(SEGMENT) ?? [];
  const rights = right.match(SEGMENT) ?? [];
  for (let index = 0; ; index++) {
    const one = lefts[index];
    const two = rights[index];
    if (one === undefined && two === undefined) return 0;
    if (one === "~" || two === "~") {
      if (one !== two) return one === "~" ? -1 : 1;
    } else if (one === undefined || two === undefined) {
      return one === undefined ? -1 : 1;
    } else if (one === "+" || two === "+") {
      if (one !== two) return one === "+" ? -1 : 1;
    } else {
      const order = compareSegments(one, two);
      if (order !== 0) return order;
    }
  }
}

function compareSegments(one: string, two: string): Order {
  const numbers = isNumber(one);
  if (numbers !== isNumber(two)) return numbers ? 1 : -1;
  const left = numbers ? one.replace(/^0+/, "") : one;
  const right = numbers ? two.replace(/^0+/, "") : two;
  if (numbers && left.length !== right.length) return left.length > right.length ? 1 : -1;
  if (left === right) return 0;
  return left > right ? 1 : -1;
}

function isNumber(segment: string): boolean {
  return /^[0-9]/.test(segment);
}

/**
 * The order of boot loader entries: their identifiers, which are the file names without `.conf`, are taken apart into name,
 * version and release at the last two dashes, and compared in that order. `<machine-id>-0-rescue` so comes after every
 * version that does not begin with 0.
 */
export function compareEntryIds(left: string, right: string): Order {
  const lefts = nameVersionRelease(left);
  const rights = nameVersionRelease(right);
  for (let index = 0; index < 3; index++) {
    const order = compareVersions(lefts[index] ?? "", rights[index] ?? "");
    if (order !== 0) return order;
  }
  return 0;
}

/** With one dash only there is a name and a version, without any a name. */
function nameVersionRelease(id: string): readonly string[] {
  const [, name, version, release] = /^(.*)-([^-]*)-([^-]*)$/s.exec(id) ?? [];
  if (name !== undefined) return [name, version ?? "", release ?? ""];
  return id.split("-", 2);
}

/** Newest first. Of two that compare alike, GRUB keeps the one that it read first. */
export function sortNewestFirst<T>(entries: readonly T[], idOf: (entry: T) => string): readonly T[] {
  const sorted: T[] = [];
  for (const entry of entries) {
    let at = 0;
    let order: Order = -1;
    for (; at < sorted.length; at++) {
      order = compareEntryIds(idOf(entry), idOf(sorted[at] as T));
      if (order >= 0) break;
    }
    if (at === sorted.length || order === 1) sorted.splice(at, 0, entry);
  }
  return sorted;
}
