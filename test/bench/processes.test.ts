import { expect, test } from "vitest";
import { hostName } from "./host.ts";
import { parseCallgrind, parsePerf, parseSteps } from "./instructions.ts";
import { descendants, memoryOf, parseStat, processTree, statusBytes } from "./processes.ts";

test("a process whose name holds brackets and blanks is still measured", () => {
  expect(parseStat("42 (a) b (c) S 7 42 42 0 -1 4194304")).toEqual({ pid: 42, parent: 7 });
  expect(() => parseStat("nothing")).toThrow();
});

test("children count with their parent, however deep", () => {
  const processes = [
    { pid: 2, parent: 1 },
    { pid: 3, parent: 2 },
    { pid: 4, parent: 9 },
    { pid: 5, parent: 3 },
  ];
  expect(descendants(2, processes)).toEqual([2, 3, 5]);
});

test("memory is what /proc says, in octets", () => {
  expect(statusBytes("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n", "VmHWM")).toBe(2 * 1024 * 1024);
  expect(statusBytes("Name:\tkthreadd\n", "VmRSS")).toBe(0);
  expect(processTree(process.pid)).toContain(process.pid);
  expect(memoryOf(process.pid, "VmRSS")).toBeGreaterThan(1024 * 1024);
});

test("instructions are counted by whatever the machine has, and a machine without counters is told apart from zero", () => {
  expect(parsePerf("123456,,instructions:u,1000,100.00,,\n")).toBe(123_456);
  expect(parsePerf("<not supported>,,instructions:u,0,100.00,,\n")).toBeUndefined();
  expect(parsePerf("")).toBeUndefined();
  expect(parseCallgrind("version: 1\nevents: Ir\nfn=(1) main\n1 2\ntotals: 9876\n")).toBe(9876);
  expect(() => parseCallgrind("hello")).toThrow();
  expect(parseSteps("loadgen: a word\ninstructions 667690\n")).toBe(667_690);
  expect(() => parseSteps("stepcount: not allowed")).toThrow("not allowed");
});

test("results of one machine replace each other: the name has no date in it", () => {
  const host = { cpu: "Intel(R) Xeon(R) Processor @ 2.1GHz", cores: 2, memoryBytes: 1, kernel: "6", architecture: "x64" };
  expect(hostName(host)).toBe("intel-xeon-processor-2-1ghz-2-cores");
});
