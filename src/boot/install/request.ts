import type { ImageReport } from "../../machine/image.ts";
import type { Machine } from "../../machine/machine.ts";
import type { ChapSecrets } from "../../machine/secrets.ts";
import type { ServerFacts } from "../facts.ts";
import { httpUrl } from "../facts.ts";
import type { Snippet } from "./snippet.ts";

/** All that the answers to an installer's questions are made of. */
export interface InstallRequest {
  readonly machine: Machine;
  readonly image: ImageReport;
  readonly facts: ServerFacts;
  /** What the user's profile says; empty where there is none. */
  readonly snippet: Snippet;
  /** The machine's first disk, as eight octets in hexadecimal (NAA, SPC-4, 7.8.6.6). */
  readonly naa?: string;
  /** Present where the machine has to prove itself. */
  readonly chap?: ChapSecrets;
  /** Stands for this one installation; who knows it may say how it ended. */
  readonly token: string;
}

/** What the configuration lets an installer find under `/<machine>/`. */
export const TREE = "tree";
export const INSTALL = "install";
export const KICKSTART = "kickstart.cfg";
export const PRESEED = "preseed.cfg";

export function treeUrl({ name }: Machine, facts: ServerFacts): string {
  return httpUrl(facts, `/${name}/${TREE}/`);
}

export function answersUrl({ name }: Machine, facts: ServerFacts, file: string): string {
  return httpUrl(facts, `/${name}/${INSTALL}/${file}`);
}

export type InstallOutcome = "finished" | "failed";

/** Where an installer says, by POST, how it ended. */
export function outcomeUrl({ machine, facts, token }: InstallRequest, outcome: InstallOutcome): string {
  return httpUrl(facts, `/${machine.name}/${INSTALL}/${token}/${outcome}`);
}

/** udev's name of the first disk, in /dev/disk (60-persistent-storage.rules; with several paths that of multipath). */
export function diskLink({ machine, facts, naa }: InstallRequest): string {
  if (facts.portals.length > 1 && naa !== undefined) return `disk/by-id/dm-uuid-mpath-3${naa}`;
  return `disk/by-path/ip-${facts.portals[0]}:${facts.iscsiPort}-iscsi-${machine.target}-lun-0`;
}

/**
 * open-iscsi's answer to a lost path (its README, 8.1 and 8.2). On one path a root file system waits for it as long as it
 * takes, and no ping declares it dead; on several, the other one is taken soon.
 */
export function iscsiTimeouts(paths: number): readonly (readonly [key: string, value: number])[] {
  return paths > 1
    ? [
        ["node.session.timeo.replacement_timeout", 15],
        ["node.conn[0].timeo.noop_out_interval", 5],
        ["node.conn[0].timeo.noop_out_timeout", 5],
      ]
    : [
        ["node.session.timeo.replacement_timeout", 86400],
        ["node.conn[0].timeo.noop_out_interval", 0],
        ["node.conn[0].timeo.noop_out_timeout", 0],
      ];
}

/** One word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_.,:=/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
