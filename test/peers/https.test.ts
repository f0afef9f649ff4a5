import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serve } from "../http/rig.ts";
import { filesOf } from "../tftp/rig.ts";

/** The certificates that `rackboot certificate` makes, as openssl and curl see them. */

const run = promisify(execFile);
const MAIN = join(import.meta.dirname, "../../src/main.ts");
let folder: string;

async function certificate(...words: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run(process.execPath, [MAIN, "certificate", "--folder", folder, ...words]);
}

beforeAll(async () => {
  folder = join(mkdtempSync(join(tmpdir(), "rackboot-tls-")), "tls");
  const { stdout } = await certificate("127.0.0.1", "boot.lab.example");
  expect(stdout).toContain(`certificate: ${folder}/cert.pem, key: ${folder}/key.pem`);
  expect(stdout).toContain("TRUST=");
});
afterAll(() => rmSync(join(folder, ".."), { recursive: true }));

test("a client that trusts the authority boots over HTTPS, and one that does not is refused", async () => {
  const https = { port: 0, certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  const { server } = await serve(filesOf({ "/a": "initramfs" }), { https });
  const url = `https://127.0.0.1:${server.tlsPort}/a`;
  expect((await run("curl", ["-sS", "--cacert", join(folder, "ca.pem"), url])).stdout).toBe("initramfs");
  await expect(run("curl", ["-sS", url])).rejects.toMatchObject({ code: 60 });
});

test("what is made holds for openssl, for these names, and its keys are nobody else's to read", async () => {
  await run("openssl", [
    "verify",
    "-purpose",
    "sslserver",
    "-verify_ip",
    "127.0.0.1",
    "-CAfile",
    join(folder, "ca.pem"),
    join(folder, "cert.pem"),
  ]);
  await run("openssl", ["verify", "-verify_hostname", "boot.lab.example", "-CAfile", join(folder, "ca.pem"), join(folder, "cert.pem")]);
  for (const key of ["ca.key", "key.pem"]) expect(statSync(join(folder, key)).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder).sort()).toEqual(["ca.crt", "ca.key", "ca.pem", "cert.pem", "key.pem"]);
});

test("a certificate is not replaced by mistake, and a new one is of the authority that firmware trusts", async () => {
  const before = { ca: readFileSync(join(folder, "ca.pem"), "latin1"), cert: readFileSync(join(folder, "cert.pem"), "latin1") };
  await expect(certificate("127.0.0.1")).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("Use --renew") });
  await expect(certificate("no such name")).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("neither an IPv4 address") });
  expect(readFileSync(join(folder, "cert.pem"), "latin1")).toBe(before.cert);
  await certificate("127.0.0.1", "--renew");
  expect(readFileSync(join(folder, "ca.pem"), "latin1")).toBe(before.ca);
  expect(readFileSync(join(folder, "cert.pem"), "latin1")).not.toBe(before.cert);
  await run("openssl", ["verify", "-CAfile", join(folder, "ca.pem"), join(folder, "cert.pem")]);
});
