import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChapSecrets } from "../../src/machine/secrets.ts";
import { run } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { disk, PeerTarget, type TargetDisk } from "./iscsi-target.ts";

/*
 * libiscsi's suite, one process a test: version 1.19 damages its own heap when it goes on after some of them. A test of
 * what we do not carry out counts as skipped by its own words; one that fails is ours to repair.
 */

/** Tests that no correct target can pass, with the line of the tool (1.19) that shows it. */
const FAULTY: ReadonlyMap<string, string> = new Map([
  [
    "ALL.Sanitize.Reset",
    "test_sanitize_reset.c:77 sleeps three seconds and then wants the SANITIZE of a disk of any size to be still under way",
  ],
  [
    "ALL.WriteSame10.UnmapUntilEnd",
    "test_writesame10_unmap_until_end.c:71 wants zeroes after WRITE SAME of FFh; where unmapped blocks read as zeroes, other data has to be written (SBC-3, 5.45)",
  ],
  [
    "ALL.iSCSITMF.LUNResetSimpleAsync",
    "test_async_lu_reset_simple.c:157 asserts what only the reset's callback sets, before anything has been sent; then it frees its context twice",
  ],
]);
/**
 * A newer suite than Debian's may stand in its place (iscsi-test-cu of libiscsi's own repository, first in PATH). It has one more test
 * that none can pass.
 */
const FAULTY_IN_NEWER: ReadonlyMap<string, string> = new Map([
  [
    "ALL.iSCSITMF.AbortTaskSimpleAsync",
    "test_async_abort_simple.c:132 wants the WRITE to be still in the queue of a library that sends what it can at once",
  ],
]);
/** And where a physical block has several logical ones: a block that is asked for is the first that is answered for (SBC-3, 5.6.2). */
const FAULTY_WITH_SMALL_BLOCKS: ReadonlyMap<string, string> = new Map([
  [
    "ALL.GetLBAStatus.UnmapSingle",
    "test_get_lba_status_unmap_single.c:134 asks for block i + 1 and wants the answer to begin with block i + 8",
  ],
]);
/** What the tool skips by its own words, and why no honest target of this kind could have it run. Anything else that it skips is a failure. */
const HONEST_SKIPS: readonly { readonly words: RegExp; readonly except: string; readonly reason: string }[] = [
  { words: /requires an iSCSI session with CHAP_A=5/, except: "chap", reason: "runs on the disk behind CHAP" },
  { words: /not removable/, except: "removable", reason: "runs on the removable disk" },
  { words: /not write-protected/, except: "read-only", reason: "runs on the read-only disk" },
  { words: /LUN too small/, except: "large", reason: "runs on the disk that one WRITE SAME cannot fill" },
  { words: /LBPPB < 2/, except: "thin", reason: "runs on disks with several blocks in a physical one" },
  { words: /SANITIZE CRYPTO_ERASE is not implemented/, except: "", reason: "what is not encrypted has no key that could be forgotten" },
  {
    words: /WRITEATOMIC16 is not implemented/,
    except: "",
    reason: "RWF_ATOMIC keeps powers of two at multiples of themselves, and only some storage does; SBC-4, 6.6.4 has no words for that",
  },
];
const TEST_TIMEOUT_MS = 60_000;

/** "ALL.Read10.Simple" and so on: the whole suite. */
function testsToRun(): readonly string[] {
  const names = execFileSync("iscsi-test-cu", ["-l"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split("\n");
  return names.filter((name) => /^ALL\.\w+\./.test(name));
}

const NEWER = testsToRun().includes("ALL.iSCSICHAP.Simple");

interface Outcome {
  readonly verdict: "pass" | "fail" | "skip";
  /** The tool's own words. */
  readonly why: string;
}

/** What the tool says between its banner and its clean-up; its exit code and its summary count a skip as a pass. */
function outcomeOf(code: number, output: string): Outcome {
  const [, body = ""] = output.split("http://cunit.sourceforge.net/");
  const [test = ""] = body.split("Send PRIN/READ_KEYS");
  // A command that the tool marks as failed may be one that must fail; its assertions decide.
  const failed = /asserts\s+\d+\s+\d+\s+\d+\s+([1-9]\d*)/.test(body);
  if (code !== 0 || failed || !body.includes("Run Summary")) return { verdict: "fail", why: output.slice(-3000) };
  const skipped = test.split("\n").find((line) => line.includes("[SKIPPED]"));
  return skipped === undefined ? { verdict: "pass", why: "" } : { verdict: "skip", why: skipped.trim() };
}

/** A name that could be taken for a number is a name all the same. */
const SECRETS: ChapSecrets = { user: "0x1b1ar1an", secret: "hexagonal-gallery" };
const KINDS: readonly TargetDisk[] = [
  { machine: "thin", config: disk() },
  { machine: "large-blocks", config: disk({ blockSize: 4096 }) },
  { machine: "removable", config: disk({ removable: true }) },
  { machine: "chap", config: disk(), secrets: SECRETS },
  // More than one WRITE SAME may fill.
  { machine: "large", config: disk({ source: { kind: "sparse", sizeBytes: 2 * 1024 ** 3 } }) },
  { machine: "read-only", config: disk({ readOnly: true }) },
];

const resources = new Resources();
const results: string[] = [];
let target: PeerTarget;

beforeAll(async () => {
  target = await PeerTarget.start(resources, KINDS);
});
afterAll(async () => {
  await resources.close();
  console.log(results.join("\n"));
});

async function runTest(machine: string, name: string): Promise<Outcome> {
  const small = KINDS.find((kind) => kind.machine === machine)?.config.blockSize === 512;
  const faulty =
    FAULTY.get(name) ?? (small ? FAULTY_WITH_SMALL_BLOCKS.get(name) : undefined) ?? (NEWER ? FAULTY_IN_NEWER.get(name) : undefined);
  const outcome: Outcome = faulty === undefined ? honest(machine, await runTool(machine, name)) : { verdict: "skip", why: faulty };
  results.push(`${outcome.verdict}  ${machine}  ${name}  ${outcome.verdict === "skip" ? outcome.why : ""}`.trimEnd());
  return outcome;
}

/** A skip with its reason; a failure where there is none. */
function honest(machine: string, outcome: Outcome): Outcome {
  if (outcome.verdict !== "skip") return outcome;
  const known = HONEST_SKIPS.find(({ words, except }) => words.test(outcome.why) && except !== machine);
  return known === undefined ? { verdict: "fail", why: outcome.why } : { verdict: "skip", why: `${outcome.why} (${known.reason})` };
}

async function runTool(machine: string, name: string): Promise<Outcome> {
  const secrets = KINDS.find((kind) => kind.machine === machine)?.secrets;
  const credentials = secrets && { credentials: `${secrets.user}%${secrets.secret}` };
  const urls = [target.url(machine, { ...credentials }), target.url(machine, { portal: 1, ...credentials })];
  const { code, stdout, stderr } = await run(["iscsi-test-cu", "-t", name, "-n", "-V", "-d", "-S", ...urls], {
    timeoutMs: TEST_TIMEOUT_MS,
  });
  return outcomeOf(code, `${stdout}\n${stderr}`);
}

/** A test of the suite as one of ours: its skip is a skip here too, with its reason. */
async function judge(machine: string, name: string, skip: (why: string) => void): Promise<void> {
  const { verdict, why } = await runTest(machine, name);
  if (verdict === "skip") skip(why);
  expect(verdict, why).toBe("pass");
}

describe.each(KINDS.filter(({ machine }) => machine !== "read-only" && machine !== "large"))(
  "iscsi-test-cu on a disk: $machine",
  ({ machine }) => {
    it.for(testsToRun())("%s", (name, { skip }) => judge(machine, name, skip));
  },
);

describe("iscsi-test-cu on a read-only disk", () => {
  const tests = ["ALL.ReadOnly.ReadOnlySBC", "ALL.Read10.Simple", "ALL.Read16.Simple", "ALL.TestUnitReady.Simple"];
  it.for(tests)("%s", (name, { skip }) => judge("read-only", name, skip));
});

describe("iscsi-test-cu on a disk that is large enough", () => {
  it.for(["ALL.WriteSame10.ZeroBlocks", "ALL.WriteSame16.ZeroBlocks"])("%s", (name, { skip }) => judge("large", name, skip));
});
