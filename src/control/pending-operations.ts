import { parseDocument } from "yaml";
import { z } from "zod";
import type { Config } from "../machine/config.ts";
import { valueAt } from "../machine/config-problems.ts";
import { parseMac } from "../machine/identifiers.ts";
import type { State, StrangerState } from "../state/state.ts";
import { type ConfigEdited, type ConfigWork, toldRefusals } from "./config-operations.ts";
import { ControlError } from "./errors.ts";
import { call, type Operations } from "./operation.ts";

/** One machine that nobody knows, with what it says of itself. */
export interface PendingMachine extends StrangerState {
  readonly mac: string;
}

export interface PendingReport {
  /** What dhcp.unknown says: only `pending` holds machines. */
  readonly unknown: Config["dhcp"]["unknown"];
  /** Those seen last are last. */
  readonly machines: readonly PendingMachine[];
  /** Names under `profiles`, for whoever adopts. */
  readonly profiles: readonly string[];
  /** The daemon's clock, to tell ages by. */
  readonly nowMs: number;
}

export interface PendingCalls {
  readonly "machine.pending": { readonly input: Readonly<Record<string, never>>; readonly output: PendingReport };
  /** The MAC address becomes a machine with the keys of the profile; `address` reserves one. */
  readonly "machine.adopt": {
    readonly input: { readonly mac: string; readonly name: string; readonly profile?: string; readonly address?: string };
    readonly output: ConfigEdited;
  };
}

export interface PendingParts {
  readonly config: () => Config;
  readonly state: () => State;
  readonly work: Pick<ConfigWork, "read" | "edit">;
}

const text = z.string().min(1).max(128);

export function pendingOperations({ config, state, work }: PendingParts): Operations {
  return {
    "machine.pending": call(z.strictObject({}), () =>
      toldRefusals(async (): Promise<PendingReport> => {
        const strangers = Object.entries(state().strangers);
        return {
          unknown: config().dhcp.unknown,
          machines: strangers.flatMap(([mac, stranger]) => (stranger.pending === true ? [{ mac, ...stranger }] : [])),
          profiles: Object.keys(profilesOf(work.read().text)),
          nowMs: Date.now(),
        };
      }),
    ),
    "machine.adopt": call(
      z.strictObject({ mac: text, name: text, profile: text.exactOptional(), address: text.exactOptional() }),
      ({ mac: written, name, profile, address }) =>
        toldRefusals(async () => {
          const mac = macOf(written);
          // Who never asked is more likely a slip of the pen than a machine.
          if (!Object.hasOwn(state().strangers, mac)) {
            throw new ControlError(
              "ERR_NOT_FOUND",
              `nothing with the MAC address ${mac} has asked for an address and is still unknown; "rackboot machine add" takes any`,
            );
          }
          const { file, text: before } = work.read();
          const keys = profile === undefined ? {} : keysOf(profile, profilesOf(before), file);
          return await work.edit({ kind: "machine.add", name, keys: { mac, ...(address !== undefined && { address }), ...keys } }, before);
        }),
    ),
  };
}

type Profiles = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** As they are written, since what is copied goes through the checks of every machine. */
function profilesOf(yaml: string): Profiles {
  const content: unknown = parseDocument(yaml, { version: "1.2", logLevel: "error" }).toJS({ maxAliasCount: 1000 });
  const profiles = valueAt(content, ["profiles"]);
  return typeof profiles === "object" && profiles !== null ? (profiles as Profiles) : {};
}

function keysOf(profile: string, profiles: Profiles, file: string): Readonly<Record<string, unknown>> {
  if (Object.hasOwn(profiles, profile)) return profiles[profile] ?? {};
  const there = Object.keys(profiles);
  const next = there.length === 0 ? `${file} has none yet; write it under profiles` : `there are ${there.join(", ")}`;
  throw new ControlError("ERR_NOT_FOUND", `there is no profile ${profile}: ${next}`);
}

function macOf(written: string): string {
  try {
    return parseMac(written);
  } catch (cause) {
    throw new ControlError("ERR_BAD_INPUT", (cause as Error).message, { cause });
  }
}
