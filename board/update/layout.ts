import type { SlotName } from "./slots.ts";

/** What firmware/layout.env says of the card that matters to an update. */
export interface CardLayout {
  /** As autoboot.txt numbers them. */
  readonly bootPartitions: Readonly<Record<SlotName, number>>;
  readonly bootConfigFolder: string;
  readonly stateFolder: string;
  readonly dataFolder: string;
  readonly dataLabel: string;
}

/** Where the image has the file. */
export const LAYOUT_FILE = "/usr/share/rackboot/layout.env";

/** Throws where the file lacks what is needed: image and daemon are built together, so that is a mistake of ours. */
export function parseLayout(text: string): CardLayout {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^([A-Z_]+)=(\S*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) values.set(name, value);
  }
  const value = (name: string): string => {
    const found = values.get(name);
    if (found === undefined) throw new Error(`${LAYOUT_FILE} says nothing of ${name}`);
    return found;
  };
  return {
    bootPartitions: { a: Number(value("PARTITION_BOOT_A")), b: Number(value("PARTITION_BOOT_B")) },
    bootConfigFolder: value("MOUNT_BOOT_CONFIG"),
    stateFolder: value("MOUNT_STATE"),
    dataFolder: value("MOUNT_DATA"),
    dataLabel: value("LABEL_DATA"),
  };
}
