import { expect, test } from "vitest";
import { Transcript, WaitTimeout } from "./transcript.ts";

test("a word that a console colours and sends in pieces is still found", async () => {
  const transcript = new Transcript();
  const found = transcript.waitFor(/Mounted sysroot/, 1000);
  for (const chunk of ["Mounted \u001b[0", ";1;39msysroot\u001b", "[0m.\r\n"]) transcript.append(chunk);
  expect((await found)[0]).toBe("Mounted sysroot");
  expect(transcript.text).toBe("Mounted sysroot.\n");
});

test("a second boot is not taken for up because the first one was", async () => {
  const transcript = new Transcript();
  transcript.append("up boot 1\n");
  expect((await transcript.waitFor(/up boot (\d)/, 1000))[1]).toBe("1");
  await expect(transcript.waitFor(/up boot/, 20)).rejects.toThrow(WaitTimeout);
  transcript.append("up boot 2\n");
  expect((await transcript.waitFor(/up boot (\d)/, 1000))[1]).toBe("2");
});

test("a machine that loses its power is not waited for", async () => {
  const transcript = new Transcript();
  transcript.append("panic\n");
  await expect(transcript.waitFor(/login:/, 60_000, Promise.resolve("it was off"))).rejects.toThrow(/it was off before .*\n*.*panic/);
  const waiting = transcript.waitFor(/login:/, 60_000);
  transcript.close("it ended");
  await expect(waiting).rejects.toThrow("it ended");
});

test("an escape that begins no control sequence does not swallow what follows", () => {
  const transcript = new Transcript();
  transcript.append("\u001b");
  transcript.append(`${"x".repeat(80)}\n`);
  expect(transcript.text).toContain("xxxx");
});
