import type { Metrics } from "../state/metrics.ts";
import { plain } from "./boot-route.ts";
import type { RouteHandler } from "./server.ts";

/** What watches the appliance: Prometheus, and whatever asks whether it is alive. Both are read without a body. */
export function monitoringRoutes(metrics: Metrics): ReadonlyMap<string, RouteHandler> {
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
        plain(response, 200, "ok");
      },
    ],
  ]);
}

function refused(method: string | undefined): boolean {
  return method !== "GET" && method !== "HEAD";
}
