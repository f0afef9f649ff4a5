import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type ReaderLimits, runReader } from "../../../src/volume/look/reader.ts";
import { readerPrograms, scratch } from "./images.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** What a reader does that a disk has taken over: it opens the disk, then tries one thing and tells what came of it. */
const HOSTILE = `
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
  const char *what = argv[2];
  int disk = open(argv[1], O_RDONLY);
  if (disk < 0) { perror("disk"); return 3; }
  long r = -1;
  char *shell[] = {(char *)"/bin/sh", (char *)"-c", (char *)"echo escaped", NULL};
  if (!strcmp(what, "nothing")) r = 0;
  if (!strcmp(what, "socket")) r = socket(AF_INET, SOCK_STREAM, 0);
  if (!strcmp(what, "unix")) r = socket(AF_UNIX, SOCK_STREAM, 0);
  if (!strcmp(what, "fork")) r = fork();
  if (!strcmp(what, "exec")) r = execve("/bin/sh", shell, NULL);
  if (!strcmp(what, "passwd")) r = open("/etc/passwd", O_RDONLY);
  if (!strcmp(what, "library")) r = open("/usr/lib/os-release", O_RDONLY);
  if (!strcmp(what, "root")) r = open("/", O_RDONLY | O_DIRECTORY);
  if (!strcmp(what, "proc")) r = open("/proc/self/mem", O_RDONLY);
  if (!strcmp(what, "create")) r = open("/tmp/escaped", O_WRONLY | O_CREAT, 0600);
  if (!strcmp(what, "writedisk")) r = open("/disk", O_RDWR);
  if (!strcmp(what, "write")) r = write(disk, "x", 1);
  if (!strcmp(what, "pwrite")) r = pwrite(disk, "x", 1, 0);
  if (!strcmp(what, "truncate")) r = ftruncate(disk, 0);
  if (!strcmp(what, "unlink")) r = unlink("/tmp/nothing");
  if (!strcmp(what, "stat")) { struct stat s; r = stat("/etc/passwd", &s); }
  if (!strcmp(what, "kill")) r = kill(1, 0);
  if (!strcmp(what, "ptrace")) r = ptrace(PTRACE_TRACEME, 0, 0, 0);
  if (!strcmp(what, "code")) r = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
  if (!strcmp(what, "setuid")) r = setuid(0);
  if (!strcmp(what, "x32")) r = syscall(0x40000000 + 41, AF_INET, SOCK_STREAM, 0);
  if (!strcmp(what, "fds")) { struct stat s; r = 0; for (int fd = 4; fd < 64; fd++) if (fstat(fd, &s) == 0) r = fd; }
  if (!strcmp(what, "owner")) r = fcntl(disk, F_SETOWN, 1);
  if (!strcmp(what, "copy")) r = fcntl(disk, F_DUPFD, 10);
  if (!strcmp(what, "uid")) r = getuid() * 100000L + getgid();
  if (!strcmp(what, "memory")) { r = 0; while (malloc(1 << 20)) r++; }
  if (!strcmp(what, "spin")) for (;;) { }
  if (!strcmp(what, "shout")) for (;;) if (write(1, "shout\\n", 6) < 0) return 9;
  if (!strcmp(what, "crash")) *(volatile int *)8 = 1;
  printf("%ld", r);
  return 0;
}
`;

const programs = { ...readerPrograms() };
const place = scratch();
const disk = place.path("disk");

beforeAll(() => {
  writeFileSync(disk, Buffer.alloc(65536, 1));
  writeFileSync(place.path("hostile.c"), HOSTILE);
  execFileSync("cc", ["-w", "-o", place.path("hostile"), place.path("hostile.c")]);
  // The reader is nobody and must reach its program.
  execFileSync("chmod", ["755", place.path("."), place.path("hostile")]);
});
afterAll(() => place.remove());

async function attempt(what: string, limits: Partial<ReaderLimits> = {}): Promise<string> {
  const handle = await open(disk, "r");
  try {
    const run = await runReader({ ...programs, fstest: place.path("hostile") }, handle, [what], { limitBytes: 4096, ...limits });
    return Buffer.from(run.output).toString();
  } finally {
    await handle.close();
  }
}

test("a reader that behaves can read the disk", async () => expect(await attempt("nothing")).toBe("0"));

describe("a reader that a disk has taken over dies of", () => {
  test.each(["socket", "unix", "fork", "unlink", "truncate", "kill", "ptrace"])("%s", async (what) => {
    await expect(attempt(what)).rejects.toMatchObject({ failure: "unreadable", message: expect.stringContaining("signal 31") as string });
  });
  test.runIf(process.arch === "x64")("the x32 calls", async () => {
    await expect(attempt("x32")).rejects.toMatchObject({ failure: "unreadable" });
  });
});

describe("it is refused", () => {
  test.each([
    "exec",
    "passwd",
    "library",
    "root",
    "proc",
    "create",
    "writedisk",
    "write",
    "pwrite",
    "stat",
    "code",
    "setuid",
    "owner",
    "copy",
  ])("%s", async (what) => {
    expect(await attempt(what)).toBe("-1");
  });
});

test("it inherits nothing but its output, and is nobody where that can be", async () => {
  expect(await attempt("fds")).toBe("0");
  if (process.getuid?.() === 0) expect(await attempt("uid")).toBe(String(65534 * 100000 + 65534));
});

describe("it cannot take more than its share", () => {
  test("of memory", async () => expect(Number(await attempt("memory"))).toBeLessThan(256));
  test("of the processor", () =>
    expect(attempt("spin", { cpuSeconds: 1, timeoutMs: 30_000 })).rejects.toMatchObject({
      message: expect.stringContaining("processor") as string,
    }));
  test("of time", () => expect(attempt("spin", { timeoutMs: 300 })).rejects.toMatchObject({ failure: "too-long" }));
  test("of output", () => expect(attempt("shout")).rejects.toMatchObject({ failure: "too-large" }));
});

test("its death is an answer", () => expect(attempt("crash")).rejects.toMatchObject({ failure: "unreadable" }));

test("no reader is left behind", async () => {
  await expect(attempt("spin", { timeoutMs: 200 })).rejects.toMatchObject({ failure: "too-long" });
  await new Promise((resolve) => setTimeout(resolve, 200));
  const left = execFileSync("ps", ["-eo", "args"])
    .toString()
    .split("\n")
    .filter((line) => line.startsWith(place.path("hostile")));
  expect(left).toEqual([]);
});
