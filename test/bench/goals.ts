import { CASES, SWEEPS } from "./cases.ts";
import type { Extras } from "./extras.ts";
import { type BenchResult, type CaseResult, PEERS, type Success, succeeded } from "./outcome.ts";
import { compact } from "./statistics.ts";

/** One figure that rackboot shall reach. */
export interface Verdict {
  /** Which of the project's four groups it is of: peers, small reads, sessions, JavaScript; `beside` is what none of them asks for. */
  readonly figure: string;
  readonly what: string;
  readonly goal: string;
  readonly measured: string;
  /** Undefined: this run did not measure it. */
  readonly met: boolean | undefined;
}

/** Faster than the best peer by this, or as fast as TCP by that, whichever is less. */
const PEER_RATE = 1.2;
const RAW_RATE = 0.85;
/** At this share of the cheapest peer's processor time, or that many times TCP's, whichever is more. */
const PEER_CPU = 0.5;
const RAW_CPU = 1.3;

const SMALL_READS = "tmpfs: random read 4K q32 s4";
const SMALL_RATE = 250_000;
const SMALL_CPU = 3.5;
/** SPDK with one polling core, measured once on a machine of this kind: it is in no distribution. */
const SPDK_SINGLE_RATE = 23_400;
const RAW_SINGLE_RATE = 0.9;

const SESSIONS_SHARE = 0.8;
const REST_BYTES = 90e6;
const BUSY_BYTES = 160e6;
const IDLE_SHARE = 0.01;

const STRESSED = 1.2;
export const RELOADS = 1000;

const FAIR = 10;
const DIGESTS = 0.85;

function limit(figure: string, what: string, value: number | undefined, bound: "least" | "most", at: number, show = compact): Verdict {
  return {
    figure,
    what,
    goal: `at ${bound} ${show(at)}`,
    measured: value === undefined ? "" : show(value),
    met: value === undefined ? undefined : bound === "least" ? value >= at : value <= at,
  };
}

function oursIn(result: BenchResult, name: string): Success | undefined {
  const outcome = result.cases.find((one) => one.name === name)?.outcomes.rackboot;
  return succeeded(outcome) ? outcome : undefined;
}

/** A row of the table of cases: its rate, and, where more than one command is under way, what it costs. */
function judgeCase({ name, unit, outcomes }: CaseResult): readonly Verdict[] {
  const known = CASES.find((one) => one.name === name);
  const peers = PEERS.map((peer) => outcomes[peer]).filter(succeeded);
  const { raw, rackboot } = outcomes;
  if (known === undefined || peers.length === 0 || rackboot === undefined) return [];
  const figure = known.place === "disk" ? "beside" : "1";
  const tcp = succeeded(raw) ? raw : undefined;
  const ours = succeeded(rackboot) ? rackboot : undefined;
  const toPeers = PEER_RATE * Math.max(...peers.map(({ rate }) => rate.median));
  // Small replies are not what TCP is full of.
  const rate = tcp === undefined || unit !== "MB/s" ? toPeers : Math.min(toPeers, RAW_RATE * tcp.rate.median);
  const cpu = Math.max(PEER_CPU * Math.min(...peers.map((peer) => peer.cpu)), RAW_CPU * (tcp?.cpu ?? 0));
  const isSingle = known.depth === 1 && known.sessions === 1;
  const verdicts = [limit(figure, `${name}, ${unit}`, ours?.rate.median ?? 0, "least", rate)];
  return isSingle ? verdicts : [...verdicts, limit(figure, `${name}, CPU`, ours?.cpu ?? Number.POSITIVE_INFINITY, "most", cpu)];
}

/** How much of its best rate a sweep over sessions keeps at its worst point. */
function judgeSessions(result: BenchResult): readonly Verdict[] {
  const wanted = SWEEPS.filter(({ along }) => along === "sessions");
  return wanted.map(({ name }) => {
    const points = result.sweeps.find((sweep) => sweep.name === name)?.points ?? [];
    const rates = points.map(({ outcomes }) => (succeeded(outcomes.rackboot) ? outcomes.rackboot.rate.median : 0));
    const share = rates.length === 0 ? undefined : Math.min(...rates) / Math.max(...rates);
    return limit("3", `${name}: worst of 1 to 256 sessions, of the best`, share, "least", SESSIONS_SHARE);
  });
}

const ratio = (over: number | undefined, under: number | undefined): number | undefined =>
  over === undefined || under === undefined ? undefined : over / under;
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

function judgeExtras(extras: Extras | undefined): readonly Verdict[] {
  const stress = extras?.stress;
  return [
    limit("3", "memory at rest", extras?.restBytes, "most", REST_BYTES, megabytes),
    limit("3", "memory while 256 sessions read", extras?.busyBytes, "most", BUSY_BYTES, megabytes),
    limit("3", "40 idle sessions, of a core", extras?.idleShare, "most", IDLE_SHARE, percent),
    limit(
      "4",
      "p99 of 4K reads under stress, of the quiet one",
      ratio(stress?.stressedP99Microseconds, stress?.quietP99Microseconds),
      "most",
      STRESSED,
    ),
    limit("4", "reloads in that time", stress?.reloads, "least", RELOADS),
    limit(
      "beside",
      "p99 of 9 x 4K q1 beside 1M q128, of the quiet one",
      ratio(extras?.besideHogP99Microseconds, extras?.quietP99Microseconds),
      "most",
      FAIR,
    ),
    limit("beside", "large reads with digests, of those without", extras?.digestShare, "least", DIGESTS),
  ];
}

/** Every figure that the data path is to reach, in their order. */
export function judge(result: BenchResult): readonly Verdict[] {
  const small = oursIn(result, SMALL_READS);
  const extras = result.extras.rackboot;
  const verdicts = [
    ...result.cases.flatMap(judgeCase),
    limit("2", `${SMALL_READS}, op/s`, small?.rate.median, "least", SMALL_RATE),
    limit("2", `${SMALL_READS}, CPU`, small?.cpu, "most", SMALL_CPU),
    limit("2", "random read 4K q1 s1, spinning, op/s", extras?.spinningRate, "least", PEER_RATE * SPDK_SINGLE_RATE),
    limit("2", "the same, sleeping, of raw", ratio(extras?.sleepingRate, extras?.rawRate), "least", RAW_SINGLE_RATE),
    ...judgeSessions(result),
    ...judgeExtras(extras),
  ];
  return [...verdicts.filter(({ figure }) => figure !== "beside"), ...verdicts.filter(({ figure }) => figure === "beside")];
}
