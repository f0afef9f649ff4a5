import { expect, test } from "vitest";
import type { MachineName } from "../../src/machine/identifiers.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { BootWatch, drawProgress, type Progress, STAGES, type StageName } from "./stages.ts";

const uqbar = "uqbar" as MachineName;
const file = { machine: uqbar, transfer: 1, transport: "tftp", address: "172.16.0.16", path: "/vmlinuz", role: "kernel" } as const;
const at = (event: object): StateEvent & { atMs: number } => ({ ...event, atMs: 0 }) as StateEvent & { atMs: number };

test("a kernel on its way is shown as a bar, and its arrival ends the stage", async () => {
  const watch = new BootWatch(uqbar);
  const seen: [StageName, Progress][] = [];
  watch.onProgress((name, progress) => seen.push([name, progress]));
  watch.event(at({ type: "transfer.started", ...file, sizeBytes: 8e6 }));
  watch.event(at({ type: "transfer.progressed", machine: uqbar, transfer: 1, sentBytes: 4e6 }));
  watch.event(at({ type: "transfer.finished", ...file, sentBytes: 8e6, elapsedMs: 1500 }));
  expect(seen).toEqual([["kernel", { path: "/vmlinuz", sentBytes: 4e6, sizeBytes: 8e6 }]]);
  expect(drawProgress({ path: "/vmlinuz", sentBytes: 4e6, sizeBytes: 8e6 })).toContain("50%  4.0 of 8.0 MB");
  expect(await watch.reached("kernel")).toBe("8.0 MB over TFTP in 1.5 s");
});

test("another machine's boot does not move this one's timeline", async () => {
  const watch = new BootWatch(uqbar);
  watch.event(at({ type: "transfer.finished", ...file, machine: "tlon", sentBytes: 8e6, elapsedMs: 1500 }));
  watch.fail(new Error("still waiting"));
  await expect(watch.reached("kernel")).rejects.toThrow("still waiting");
});

test("the login prompt ends the timeline, and a failure ends every wait", async () => {
  const watch = new BootWatch(uqbar);
  watch.console("Debian GNU/Linux 12 uqbar ttyS0\n\nuqbar login: ");
  watch.fail(new Error("power cut"));
  expect(await watch.reached("login")).toBe("it waits for you");
  for (const { name } of STAGES.filter((stage) => stage.name !== "login")) await expect(watch.reached(name)).rejects.toThrow("power cut");
});
