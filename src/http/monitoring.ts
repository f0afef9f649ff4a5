import { reasonsNotToServe, standingFaults } from "../state/faults.ts";
import type { Metrics } from "../state/metrics.ts";
import type { State } from "../state/state.ts";
import { plain } from "./boot-route.ts";
import type { RouteHandler } from "./server.ts";

/** What watches the appliance: Prometheus, and whatever asks whether it is alive. Both are read without a body. */
export function monitoringRoutes(metrics: Metrics, state: () => State): ReadonlyMap<string, RouteHandler> {
  return new Map<string, RouteHandler>([
    [
      "/metrics",
      async (request, response) => {
        if (refused(request.method)) return plain(response, 405, "GET or HEAD only", { allow: "GET, HEAD" });
        const text = await metrics.text();
        response.writeHead(200, { "content-type": metrics.contentType, "content-length": Buffer.byteLength(text) });
        response.end(request.method === "HEAD" ? undefined : text);
      },
    ],
    [
      "/healthz",
      (request, response) => {
        if (refused(request.method)) return plain(response, 405, "GET or HEAD only", { allow: "GET, HEAD" });
        const { status, text } = health(state());
        plain(response, status, text);
      },
    ],
  ]);
}

/** 503 says that machines do not get what they ask for, and why. An answer of any status says that the daemon is alive. */
export function health(state: State): { readonly status: 200 | 503; readonly text: string } {
  const reasons = reasonsNotToServe(state);
  if (reasons.length > 0) return { status: 503, text: reasons.join("\n") };
  const standing = standingFaults(state).map(({ fault, reason }) => `fault ${fault.number} (${fault.name}): ${reason}`);
  return { status: 200, text: ["ok", ...standing].join("\n") };
}

function refused(method: string | undefined): boolean {
  return method !== "GET" && method !== "HEAD";
}
