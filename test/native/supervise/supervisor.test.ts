import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BackgroundProcess } from "../../harness/process.ts";
import { Resources } from "../../harness/resources.ts";

const SUPERVISOR = new URL("../../../dist/src/native/rackboot-supervise", import.meta.url).pathname;
/** Answers the supervisor's question as the daemon does, and says who it is. */
const SERVES = `const { rmSync } = require("node:fs");
  rmSync(process.argv[1], { force: true });
  require("node:http").createServer((_, answer) => answer.end("{}")).listen(process.argv[1], () => console.log("pid", process.pid));`;

let resources: Resources;
let folder: string;
let socket: string;
let serving: string;
let lamp: string;

beforeEach(() => {
  resources = new Resources();
  folder = mkdtempSync(join(tmpdir(), "rackboot-supervise-"));
  resources.defer("folder", () => rmSync(folder, { recursive: true }));
  [socket, serving, lamp] = [join(folder, "control.sock"), join(folder, "serving"), join(folder, "lamp")];
  writeFileSync(lamp, "0");
});
afterEach(() => resources.close());

function supervise(...command: readonly string[]): BackgroundProcess {
  const options = ["--socket", socket, "--serving", serving, "--lamp", lamp];
  return new BackgroundProcess(resources, [SUPERVISOR, ...options, "--", ...command]);
}

describe("the supervisor", () => {
  it("tells others when the daemon serves, starts it again when it is killed, and ends it in order", async () => {
    const running = supervise(process.execPath, "-e", SERVES, socket);
    const [, first = ""] = await running.output.waitFor(/pid (\d+)/, 20_000);
    await running.output.waitFor(/the daemon answers/, 20_000);
    expect(existsSync(serving)).toBe(true);

    process.kill(Number(first), "SIGKILL");
    await running.output.waitFor(/the daemon ended \(signal 9\); it starts again in 1 s/, 20_000);
    expect(existsSync(serving)).toBe(false);
    await expect.poll(() => readFileSync(lamp, "latin1"), { timeout: 10_000 }).toBe("1");
    const [, second = ""] = await running.output.waitFor(/pid (\d+)/, 20_000);
    expect(second).not.toBe(first);
    await running.output.waitFor(/the daemon answers/, 20_000);
    expect(readFileSync(lamp, "latin1")).toBe("0");

    expect(await running.stop("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(() => process.kill(Number(second), 0)).toThrow("ESRCH");
    expect(existsSync(serving)).toBe(false);
  });

  it("says what it cannot start, and tries again", async () => {
    const running = supervise(join(folder, "nothing"));
    await running.output.waitFor(/nothing: No such file/, 20_000);
    await running.output.waitFor(/ended \(code 127\); it starts again in 1 s/, 20_000);
    await running.output.waitFor(/nothing: No such file/, 20_000);
    expect(await running.stop("SIGTERM")).toEqual({ code: 0, signal: null });
  });
});
