/** Where the file behind the disk lies: memory, this machine's disk, or forty small disks that are flushed all the time. */
export type Place = "tmpfs" | "disk" | "rack";

/** What one run of the load generator does. */
export interface Load {
  readonly mode: "read" | "write" | "idle";
  readonly random: boolean;
  readonly blockBytes: number;
  readonly depth: number;
  readonly sessions: number;
  /** Sessions are spread over so many disks, each of a target of its own. */
  readonly disks?: number;
  /** Each write is followed by SYNCHRONIZE CACHE. */
  readonly flush?: boolean;
  /** CRC32C over headers and data. */
  readonly digests?: boolean;
}

export interface BenchCase extends Load {
  readonly name: string;
  readonly place: Place;
  readonly quick: boolean;
}

/** What a figure counts: large blocks in MB/s and CPU per GiB, small ones in operations and CPU per million of them. */
export type Unit = "MB/s" | "op/s";

export const RACK_MACHINES = 40;
/** So many targets stand in front of the one disk of the other places: no machine of a rack has hundreds of sessions. */
export const SHARERS = 16;
const KIB = 1024;
const MIB = 1024 * KIB;
const LARGE_BYTES = 64 * KIB;

export function unitOf(load: Load): Unit {
  return load.blockBytes >= LARGE_BYTES ? "MB/s" : "op/s";
}

export function sizeText(bytes: number): string {
  return bytes >= MIB ? `${bytes / MIB}M` : `${bytes / KIB}K`;
}

/** For example `random read 4K q32 s4`. */
export function nameOf(load: Load): string {
  const action = `${load.random ? "random " : ""}${load.mode}`;
  return `${action} ${sizeText(load.blockBytes)} q${load.depth} s${load.sessions}${load.flush ? " + flush" : ""}`;
}

function make(place: Place, quick: boolean, load: Load): BenchCase {
  return { ...load, place, quick, name: `${place}: ${nameOf(load)}` };
}

const stream = (mode: Load["mode"], blockBytes: number, depth: number, sessions: number): Load => ({
  mode,
  random: false,
  blockBytes,
  depth,
  sessions,
});
const random = (mode: Load["mode"], depth: number, sessions: number): Load => ({
  mode,
  random: true,
  blockBytes: 4 * KIB,
  depth,
  sessions,
});

const spread = (load: Load): Load => ({ ...load, disks: Math.min(load.sessions, SHARERS) });

/** The table that the data path is judged by, and what a real disk adds to it. */
export const CASES: readonly BenchCase[] = [
  make("tmpfs", true, stream("read", 128 * KIB, 32, 1)),
  make("tmpfs", false, stream("read", 128 * KIB, 8, 4)),
  make("tmpfs", false, stream("read", MIB, 2, 16)),
  make("tmpfs", true, stream("write", 128 * KIB, 32, 1)),
  make("tmpfs", false, stream("write", 128 * KIB, 8, 4)),
  make("tmpfs", false, stream("write", MIB, 2, 16)),
  make("tmpfs", true, random("read", 1, 1)),
  make("tmpfs", true, random("read", 32, 1)),
  make("tmpfs", false, random("read", 32, 4)),
  make("tmpfs", false, random("write", 32, 1)),
  make("tmpfs", false, random("write", 32, 4)),
  make("disk", false, stream("read", 128 * KIB, 32, 1)),
  make("disk", false, stream("write", 128 * KIB, 32, 1)),
  make("disk", false, random("read", 32, 1)),
  make("disk", false, random("write", 32, 1)),
  make("rack", true, {
    mode: "write",
    random: true,
    blockBytes: 16 * KIB,
    depth: 1,
    sessions: RACK_MACHINES,
    disks: RACK_MACHINES,
    flush: true,
  }),
];

/** One plot each: `along` is what changes. Over sessions the depth is one at which a single session fills the server, so that what changes is their number. */
export interface Sweep {
  readonly name: string;
  readonly along: "depth" | "sessions";
  readonly loads: readonly Load[];
}

export const SWEEPS: readonly Sweep[] = [
  { name: "random read 4K, one session", along: "depth", loads: [1, 2, 4, 8, 16, 32, 64, 128].map((depth) => random("read", depth, 1)) },
  {
    name: "random read 4K, depth 16",
    along: "sessions",
    loads: [1, 4, 16, 64, 256].map((sessions) => spread(random("read", 16, sessions))),
  },
  {
    name: "read 128K, depth 8",
    along: "sessions",
    loads: [1, 4, 16, 64, 256].map((sessions) => spread(stream("read", 128 * KIB, 8, sessions))),
  },
];

/** Cases whose name holds one of the comma-separated phrases; without any, the quick ones or all. */
export function chooseCases(filter: string, quick: boolean): readonly BenchCase[] {
  const words = filter.split(",").filter((word) => word !== "");
  return CASES.filter((one) => (words.length > 0 ? words.some((word) => one.name.includes(word)) : !quick || one.quick));
}

/** The load generator's words for this load. */
export function loadArguments(load: Load): readonly string[] {
  return [
    `--mode=${load.mode}`,
    ...(load.random ? ["--random"] : []),
    `--block=${load.blockBytes}`,
    `--depth=${load.depth}`,
    `--sessions=${load.sessions}`,
    ...(load.disks === undefined ? [] : [`--disks=${load.disks}`]),
    ...(load.flush ? ["--flush"] : []),
    ...(load.digests ? ["--digests=both"] : []),
  ];
}
