import { ControlError } from "../../src/control/errors.ts";
import type { Daemon } from "./screen.ts";
import { alarmCount } from "./screens/alarms.ts";
import type { Link } from "./state.ts";

/** A daemon that is busy answers within milliseconds; one that does not within this is stuck. */
const ANSWER_TIMEOUT_MS = 5000;

/** How the daemon answers now. Never rejects. */
export async function linkOf(daemon: Daemon, before: Link, signal: AbortSignal): Promise<Link> {
  try {
    const soon = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
    const { version, state } = await daemon.call("status", {}, soon);
    const operations = before.kind === "up" ? before.operations : new Set(await daemon.call("operations", {}, soon));
    const network = operations.has("network.show") ? await daemon.call("network.show", {}, soon) : undefined;
    const trial = network?.pending === undefined ? {} : { secondsLeft: network.pending.secondsLeft };
    const alarms = alarmCount(state);
    return { kind: "up", operations, summary: { version, address: network?.settings.address ?? "", alarms, ...trial } };
  } catch (error) {
    const reason = error instanceof ControlError ? error.message : "It has taken the question, and gives no answer.";
    return { kind: "away", sinceMs: Date.now(), reason };
  }
}
