import { ControlError } from "../../../src/control/errors.ts";
import { lineOf } from "../../../src/state/log.ts";
import { clock } from "../../../src/state/words.ts";
import type { Daemon, Follow } from "../screen.ts";

/** Enough to see how it came to what is. */
const LINES_BEFORE = 200;

/** The log: what the board has of earlier, and then what happens. */
export const logFollow: Follow = {
  title: "Log",
  lines: async function* (daemon, signal) {
    yield* await earlier(daemon, signal);
    for await (const event of daemon.follow("events", {}, signal)) {
      const line = lineOf(event);
      if (line === undefined || line.level === "debug" || line.level === "trace") continue;
      yield `${clock(event.atMs)} ${line.level === "info" ? "" : `${line.level.toUpperCase()}: `}${line.sentence}`;
    }
  },
};

/** Where this is no appliance, the log is with whoever started the daemon. */
async function earlier(daemon: Daemon, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await daemon.call("system.logs", { lines: LINES_BEFORE }, signal);
  } catch (error) {
    if (error instanceof ControlError && error.code !== "ERR_CONTROL_UNREACHABLE") return [];
    throw error;
  }
}
