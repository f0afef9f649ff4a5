import { execFile } from "node:child_process";
import { access, chmod, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { type AddCommand, examples } from "./context.ts";

/** As long as hardware lasts: firmware has no clock that it trusts, and nobody enrols anew in a rack that works. */
const DAYS = "3650";
/** RSA, since EDK2 and iPXE builds in the field know nothing else for sure. */
const KEY = "rsa:3072";

/** A certificate that cannot be made; the message is for people. */
class CertificateError extends Error {
  readonly code = "ERR_CERTIFICATE";
}

interface Options {
  readonly folder: string;
  readonly renew?: true;
}

export const addCertificate: AddCommand = (program, context) => {
  program
    .command("certificate <names...>")
    .description("make a certificate authority and a server certificate for HTTPS boot, and say how firmware learns to trust it")
    .option("--folder <folder>", "where they are kept; an authority that is there is used again", "tls")
    .option("--renew", "replace the server certificate that is there")
    .addHelpText(
      "after",
      examples("rackboot certificate 172.16.0.1", "rackboot certificate 172.16.0.1 boot.lab.example --folder /etc/rackboot/tls --renew"),
    )
    .action(async (names: readonly string[], options: Options) => {
      const folder = resolve(options.folder);
      await makeCertificate(folder, names, options.renew === true);
      context.output.out(howToEnrol(folder));
    });
};

/** `names`: the addresses and host names that machines ask for. Rejects with a sentence, and then has changed nothing. */
export async function makeCertificate(folder: string, names: readonly string[], renew: boolean): Promise<void> {
  const wrong = names.find((name) => !isIPv4(name) && !/^(?=.{1,253}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$/i.test(name));
  if (wrong !== undefined) throw new CertificateError(`"${wrong}" is neither an IPv4 address nor a host name`);
  if (!renew && (await exists(join(folder, "cert.pem")))) {
    throw new CertificateError(
      `${join(folder, "cert.pem")} is there already. Use --renew to replace it; the authority stays the one that firmware trusts`,
    );
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(folder, ".new-"));
  try {
    const hasAuthority = (await exists(join(folder, "ca.pem"))) && (await exists(join(folder, "ca.key")));
    const authority = hasAuthority ? folder : work;
    if (!hasAuthority) await makeAuthority(work);
    await makeServerCertificate(work, authority, names);
    // The key first: a daemon that follows its files refuses a pair that does not match, and goes on with what it has.
    const made = [...(hasAuthority ? [] : ["ca.key", "ca.pem", "ca.crt"]), "key.pem", "cert.pem"];
    for (const name of made) await rename(join(work, name), join(folder, name));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function makeAuthority(work: string): Promise<void> {
  const [key, certificate] = [join(work, "ca.key"), join(work, "ca.pem")];
  const extensions = ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign"];
  const added = extensions.flatMap((extension) => ["-addext", extension]);
  await openssl(
    "req",
    "-x509",
    "-newkey",
    KEY,
    "-nodes",
    "-sha256",
    "-days",
    DAYS,
    "-subj",
    "/CN=rackboot authority",
    "-keyout",
    key,
    "-out",
    certificate,
    ...added,
  );
  await chmod(key, 0o600);
  await openssl("x509", "-in", certificate, "-outform", "der", "-out", join(work, "ca.crt"));
}

async function makeServerCertificate(work: string, authority: string, names: readonly string[]): Promise<void> {
  const [request, extensions] = [join(work, "request"), join(work, "extensions")];
  const alternatives = names.map((name) => `${isIPv4(name) ? "IP" : "DNS"}:${name}`).join(",");
  await writeFile(
    extensions,
    `basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth\nsubjectAltName=${alternatives}\n`,
  );
  const key = join(work, "key.pem");
  // A common name has at most 64 characters, and nobody reads it where there are alternatives.
  await openssl(
    "req",
    "-newkey",
    KEY,
    "-nodes",
    "-sha256",
    "-subj",
    `/CN=${(names[0] ?? "rackboot").slice(0, 64)}`,
    "-keyout",
    key,
    "-out",
    request,
  );
  await chmod(key, 0o600);
  const signer = ["-CA", join(authority, "ca.pem"), "-CAkey", join(authority, "ca.key"), "-set_serial", `0x${serial()}`];
  await openssl(
    "x509",
    "-req",
    "-in",
    request,
    "-sha256",
    "-days",
    DAYS,
    "-extfile",
    extensions,
    ...signer,
    "-out",
    join(work, "cert.pem"),
  );
}

/** RFC 5280, 4.1.2.2: positive, at most 20 octets, never the same twice. */
function serial(): string {
  return `01${crypto.randomUUID().replaceAll("-", "")}`;
}

async function openssl(...words: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)("openssl", words);
  } catch (error) {
    const { code, stderr } = error as { readonly code?: unknown; readonly stderr?: string };
    if (code === "ENOENT")
      throw new CertificateError("openssl is not installed. Install it, or run this on another machine and copy the folder");
    throw new CertificateError(`openssl ${words[0] ?? ""} failed: ${(stderr ?? "").trim().split("\n").at(-1) ?? ""}`);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function howToEnrol(folder: string): string {
  return `Made in ${folder}. In rackboot.yaml:

  http: { https: { port: 443, certificate: ${join(folder, "cert.pem")}, key: ${join(folder, "key.pem")} } }

ca.key signs for every machine that trusts it: keep it off the network once this is done.

UEFI firmware:   copy ca.crt to a FAT-formatted stick; in the setup: Device Manager, TLS Auth Configuration, Server CA
                 Configuration, Enroll Cert, choose ca.crt, commit. Firmware then takes https:// URLs for HTTP boot.
OVMF in QEMU:    virt-fw-vars, or an EFI signature list: -fw_cfg name=etc/edk2/https/cacerts,file=LIST
iPXE:            trust is built in: make bin-x86_64-efi/ipxe.efi TRUST=${join(folder, "ca.pem")}
A try from here: curl --cacert ${join(folder, "ca.pem")} https://ADDRESS/healthz
`;
}
