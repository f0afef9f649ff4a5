/** What perfdhcp (Kea 2.2, `-x t`) tells at its end. */
export interface Exchanges {
  /** Whole four-way exchanges. */
  readonly acknowledged: number;
  readonly perSecond: number;
  /** DISCOVERs and REQUESTs without an answer. */
  readonly drops: number;
  /** Of the exchanges that were begun. */
  readonly dropsPercent: number;
  readonly discover: Delays;
  readonly request: Delays;
}

interface Delays {
  readonly medianMs: number;
  readonly p99Ms: number;
}

interface Half extends Delays {
  readonly sent: number;
  readonly received: number;
}

/** Undefined where it is no report: perfdhcp ends with an error code whenever something was dropped, so that says nothing. */
export function readPerfdhcp(report: string, seconds: number): Exchanges | undefined {
  const discover = half(report, "DISCOVER-OFFER");
  const request = half(report, "REQUEST-ACK");
  if (discover === undefined || request === undefined) return undefined;
  const drops = discover.sent - discover.received + request.sent - request.received;
  return {
    acknowledged: request.received,
    perSecond: request.received / seconds,
    drops,
    dropsPercent: (100 * (discover.sent - request.received)) / Math.max(1, discover.sent),
    discover: { medianMs: discover.medianMs, p99Ms: discover.p99Ms },
    request: { medianMs: request.medianMs, p99Ms: request.p99Ms },
  };
}

function half(report: string, name: string): Half | undefined {
  const [, sent, received] = new RegExp(`Statistics for: ${name}[^]*?sent packets: (\\d+)\\s+received packets: (\\d+)`).exec(report) ?? [];
  if (sent === undefined || received === undefined) return undefined;
  const [, stamps = ""] = new RegExp(`Timestamps for packets: ${name}\\*+\n([^*]*)`).exec(report) ?? [];
  const delays = [...stamps.matchAll(/^sent \/ received: ([\d.]+) \/ ([\d.]+)/gm)].map(
    ([, from, to]) => (Number(to) - Number(from)) * 1000,
  );
  delays.sort((a, b) => a - b);
  const at = (part: number): number => delays[Math.min(delays.length - 1, Math.floor(delays.length * part))] ?? Number.NaN;
  return { sent: Number(sent), received: Number(received), medianMs: at(0.5), p99Ms: at(0.99) };
}
