import { randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ImageStore, StoredImage } from "../../image/store.ts";
import { type ImageName, type MachineName, type ProfileName, parseImageName, parseProfileName } from "../../machine/identifiers.ts";
import type { Machine } from "../../machine/machine.ts";
import type { ChapSecrets } from "../../machine/secrets.ts";
import type { Emit } from "../../state/events.ts";
import type { ServerFacts } from "../facts.ts";
import { fileOf } from "../file-system.ts";
import type { BootFile, NotFound } from "../files.ts";
import { type BootPlan, nothing } from "../plan.ts";
import { type InstallSource, installPlan, origin } from "./install-plan.ts";
import { begun, bootNow, gaveUp, type InstallRecord, type InstallStore } from "./installs.ts";
import { kickstart, rescueKickstart } from "./kickstart.ts";
import { preseed } from "./preseed.ts";
import { INSTALL, type InstallOutcome, type InstallRequest, KICKSTART, PRESEED, TREE } from "./request.ts";
import { MAX_SNIPPET_BYTES, NO_SNIPPET, parseKickstartSnippet, parsePreseedSnippet, type Snippet, SnippetError } from "./snippet.ts";

export interface InstallBootsParts {
  readonly images: ImageStore;
  readonly installs: InstallStore;
  /** `storage.path`, where the profiles lie. */
  readonly storage: () => string;
  readonly facts: () => ServerFacts;
  /** As it is configured; what it boots now is for {@link InstallBoots.now} to say. */
  readonly configured: (machine: MachineName) => Machine | undefined;
  /** The boot that the machine is in; undefined where it does not boot. */
  readonly bootOf: (machine: MachineName) => number | undefined;
  readonly secretsFor: (machine: MachineName) => ChapSecrets | undefined;
  /** Of its first disk. */
  readonly naaOf: (machine: Machine) => string | undefined;
  readonly emit: Emit;
}

/** A refusal for whoever asked for an installation. */
export class InstallError extends Error {
  readonly code = "ERR_INSTALL";
}

const TOKEN_BYTES = 16;
/** The profile that is there without a file. */
const BUILT_IN_PROFILE = "minimal";
/** What profiles of either installer are called. */
const PROFILE_ENDING = { anaconda: ".ks", "debian-installer": ".preseed" } as const;

/** Machines that install, or that a medium rescues: what they are handed, what they may read, and how it ended. */
export class InstallBoots {
  readonly #parts: InstallBootsParts;

  constructor(parts: InstallBootsParts) {
    this.#parts = parts;
  }

  /** The machine with what it boots now. */
  now(machine: Machine): Machine {
    const boot = bootNow(machine, this.#parts.installs.get(machine.name));
    return boot === machine.boot ? machine : { ...machine, boot };
  }

  /** Never rejects: what keeps the installer from starting is the plan's reason. `machine` is as {@link now} gave it. */
  async plan(machine: Machine, source: InstallSource): Promise<BootPlan> {
    try {
      const image = await this.#parts.images.get(source.image);
      if (source.kind === "install") await this.#checked(machine, source, image);
      return await installPlan(machine, source, image, this.#parts.facts(), () => this.#handedOut(machine, source, image));
    } catch (cause) {
      return nothing(`${machine.name} cannot ${source.kind} ${source.image}: ${(cause as Error).message}`);
    }
  }

  /** What would only turn out when the installer has started is said before. */
  async #checked(machine: Machine, source: InstallSource, { report }: StoredImage): Promise<void> {
    if (machine.disks.length === 0) throw new InstallError("it has no disks");
    const { installer } = report;
    const snippet = await this.#snippet(source, installer);
    if (installer === "anaconda" && !report.packages && !snippet.lines.some((line) => /^\s*(url|nfs|ostreesetup)\s/.test(line))) {
      throw new InstallError(`the image has no packages: say in a profile where they are, as "url --url=http://..."`);
    }
  }

  /** What is below `/<machine>/install/` and `/<machine>/tree/`; undefined for other paths. */
  async file(machine: Machine, segments: readonly string[]): Promise<BootFile | NotFound | undefined> {
    const [folder, ...rest] = segments;
    if (folder === TREE) return await this.#treeFile(machine, rest.join("/"));
    if (folder !== INSTALL || rest.length !== 1) return undefined;
    const { boot } = machine;
    const record = this.#parts.installs.get(machine.name);
    if (boot.kind !== "install" && boot.kind !== "rescue") return notFound(`${machine.name} installs nothing`);
    // With its secrets it is for the installer alone, and not for whoever else runs on that machine.
    const running = boot.kind === "rescue" || record?.state === "running";
    if (!running) return notFound(`${machine.name} has not been handed its installer`);
    try {
      const text = await this.#answers(machine, boot, rest[0] ?? "", record?.token ?? "");
      return text === undefined ? undefined : { kind: "bytes", role: "other", bytes: new TextEncoder().encode(text) };
    } catch (cause) {
      return notFound((cause as Error).message);
    }
  }

  async #answers(machine: Machine, source: InstallSource, name: string, token: string): Promise<string | undefined> {
    const { report } = await this.#parts.images.get(source.image);
    const { installer } = report;
    if (name !== (installer === "anaconda" ? KICKSTART : PRESEED)) return undefined;
    const chap = machine.chap ? this.#parts.secretsFor(machine.name) : undefined;
    const naa = this.#parts.naaOf(machine);
    const request: InstallRequest = {
      machine,
      image: report,
      facts: this.#parts.facts(),
      snippet: await this.#snippet(source, installer),
      ...(naa === undefined ? {} : { naa }),
      ...(chap === undefined ? {} : { chap }),
      token,
    };
    if (installer === "debian-installer") return preseed(request);
    return source.kind === "install" ? kickstart(request) : rescueKickstart(request);
  }

  async #snippet(source: InstallSource, installer: keyof typeof PROFILE_ENDING): Promise<Snippet> {
    const profile = source.kind === "install" ? source.profile : undefined;
    if (profile === undefined) return NO_SNIPPET;
    const path = join(this.#parts.storage(), "profiles", `${parseProfileName(profile)}${PROFILE_ENDING[installer]}`);
    const text = await this.#read(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT") throw cause;
      if (profile === BUILT_IN_PROFILE) return "";
      throw new SnippetError(`there is no profile ${profile}: write ${path}, or leave profile out`);
    });
    try {
      return installer === "anaconda" ? parseKickstartSnippet(text) : parsePreseedSnippet(text);
    } catch (cause) {
      throw cause instanceof SnippetError ? new SnippetError(`${path}: ${cause.message}`) : cause;
    }
  }

  async #read(path: string): Promise<string> {
    const { size } = await stat(path);
    if (size > MAX_SNIPPET_BYTES) throw new SnippetError(`${path} has more than ${MAX_SNIPPET_BYTES} octets`);
    return await readFile(path, "utf8");
  }

  async #treeFile(machine: Machine, path: string): Promise<BootFile | NotFound> {
    const name = this.#imageFor(machine);
    if (name === undefined) return notFound(`${machine.name} neither installs an image nor is rescued with one`);
    try {
      const { tree } = await this.#parts.images.get(name);
      const file = await tree.file(path);
      const found = file === undefined ? undefined : await fileOf(origin(path, file), "other");
      return found ?? notFound(`the image ${name} has no ${path}`);
    } catch (cause) {
      return notFound((cause as Error).message);
    }
  }

  /** The one image that the machine may read: the one its boot names, also while it finishes installing it. */
  #imageFor({ name, boot }: Machine): ImageName | undefined {
    if (boot.kind === "install" || boot.kind === "rescue") return boot.image;
    const configured = this.#parts.configured(name)?.boot;
    if (configured?.kind === "install" || configured?.kind === "rescue") return configured.image;
    const record = this.#parts.installs.get(name);
    return record !== undefined && record.boot === this.#bootOf(name) ? record.image : undefined;
  }

  /** A menu with the installer was made for the machine. */
  #handedOut(machine: Machine, source: InstallSource, { report }: StoredImage): void {
    if (source.kind !== "install") return;
    const { installs, emit } = this.#parts;
    const before = installs.get(machine.name);
    const boot = this.#bootOf(machine.name);
    const record = begun(before, source, boot, randomBytes(TOKEN_BYTES).toString("hex"));
    if (record === before) return;
    installs.set(machine.name, record);
    emit({ type: "boot.installing", machine: machine.name, boot, image: source.image, system: `${report.system} ${report.version}` });
  }

  /** What an installer says, by POST to `/<machine>/install/<token>/<outcome>`; false where that is nobody's to say. */
  report(machine: Machine, segments: readonly string[]): boolean {
    const [name, folder, token, outcome, ...more] = segments;
    if (name !== machine.name || folder !== INSTALL || more.length > 0) return false;
    if (outcome !== "finished" && outcome !== "failed") return false;
    const record = this.#parts.installs.get(machine.name);
    if (record?.token === undefined || record.token !== token || record.state === "wanted") return false;
    // Heard twice, it is still true.
    if (record.state === "running") this.#ended(machine.name, record, outcome);
    return true;
  }

  #ended(machine: MachineName, record: InstallRecord, outcome: InstallOutcome): void {
    const { installs, emit } = this.#parts;
    const about = { machine, boot: record.boot ?? 0, image: record.image };
    if (outcome === "failed") {
      emit({ type: "boot.installFailed", ...about, reason: "its installer says so; see its console" });
      return;
    }
    installs.set(machine, { ...record, state: "done" });
    emit({ type: "boot.installed", ...about });
  }

  /** A boot of the machine began for certain: an installer that ran in another one does not any more. */
  began(machine: MachineName, boot: number): void {
    const { installs, emit } = this.#parts;
    const record = installs.get(machine);
    if (!gaveUp(record, boot)) return;
    const reason = "the machine started anew before it was done";
    emit({ type: "boot.installFailed", machine, boot: record.boot ?? 0, image: record.image, reason });
    installs.set(machine, { ...record, state: "wanted" });
  }

  /** The machine's next boot installs; throws {@link InstallError} where it cannot. */
  async order(
    name: string,
    image: string,
    profile: string | undefined,
  ): Promise<{ readonly image: ImageName; readonly profile?: ProfileName }> {
    const machine = this.#need(name);
    const { boot } = machine;
    if (boot.kind !== "disk" && !(boot.kind === "install" && boot.image === image)) {
      throw new InstallError(`the configuration has ${name} boot otherwise; give it "boot: disk" or "boot: { install: ${image} }" there`);
    }
    const asked = profile ?? (boot.kind === "install" ? boot.profile : undefined);
    const source = {
      kind: "install",
      image: parseImageName(image),
      ...(asked === undefined ? {} : { profile: parseProfileName(asked) }),
    } as const;
    await this.#checked(machine, source, await this.#parts.images.get(source.image));
    const { kind: _, ...record } = source;
    this.#parts.installs.set(machine.name, { ...record, state: "wanted", ordered: true });
    return record;
  }

  /** It boots as it is configured again, and its disk where it was to be installed. */
  cancel(name: string): void {
    const { name: machine, boot } = this.#need(name);
    if (boot.kind === "install") this.#parts.installs.set(machine, { image: boot.image, state: "done", ordered: false });
    else this.#parts.installs.forget(machine);
  }

  #need(name: string): Machine {
    const machine = this.#parts.configured(name as MachineName);
    if (machine === undefined) throw new InstallError(`there is no machine ${name}; "rackboot machine list" names them all`);
    return machine;
  }

  /** 0 where no boot is known, as after a start without DHCP. */
  #bootOf(machine: MachineName): number {
    return this.#parts.bootOf(machine) ?? 0;
  }
}

function notFound(reason: string): NotFound {
  return { kind: "not-found", reason };
}
