import { type Command, InvalidArgumentError, Option } from "commander";
import { formatSize, size } from "../machine/config-values.ts";
import type { VolumeSettings } from "../machine/volume.ts";

/** Any whole number of octets; what is allowed where is the daemon's to say. */
const anySize = size(1, Number.MAX_SAFE_INTEGER);

/** `512M`, `40G`, `1T`, or octets. */
export function parseSize(text: string): number {
  const parsed = anySize.safeParse(text.toUpperCase());
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError(`A size is a number with K, M, G, T or P (powers of 1024), such as ${formatSize(40 * 1024 ** 3)}.`);
}

/** What the command line says of a volume that is to be made. */
export interface NewVolumeWords {
  readonly size?: number;
  readonly blockSize?: string;
  readonly readOnly?: boolean;
  readonly shared?: boolean;
  readonly writeCache?: boolean;
  readonly thin?: boolean;
}

export function newVolumeOptions(command: Command): Command {
  return command
    .addOption(new Option("--block-size <octets>", "logical blocks that the machine sees").choices(["512", "4096"]))
    .option("--read-only", "nobody may write")
    .option("--shared", "several machines may have it")
    .option("--no-write-cache", "every write is on stable storage before it is acknowledged")
    .option("--no-thin", "what a machine discards keeps its room");
}

export interface NewVolume {
  readonly sizeBytes?: number;
  readonly settings?: Partial<VolumeSettings>;
}

/** Only what was said: the rest is the daemon's to choose. */
export function newVolume(words: NewVolumeWords): NewVolume {
  const settings: Partial<VolumeSettings> = {
    ...(words.blockSize !== undefined && { blockSize: words.blockSize === "4096" ? 4096 : 512 }),
    ...(words.readOnly === true && { readOnly: true }),
    ...(words.shared === true && { shared: true }),
    ...(words.writeCache === false && { writeCache: false }),
    ...(words.thin === false && { thin: false }),
  };
  return { ...(words.size !== undefined && { sizeBytes: words.size }), ...(Object.keys(settings).length > 0 && { settings }) };
}
