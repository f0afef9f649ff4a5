export interface HandMadeEntry {
  readonly name: string;
  readonly lba: number;
  readonly length: number;
  readonly more: boolean;
  readonly folder?: boolean;
}

const SECTOR = 2048;
const ROOT_LBA = 20;

/** An image of one folder whose records say what no program would write (ECMA-119, 8.4 and 9.1). */
export function handMadeIso(entries: readonly HandMadeEntry[]): Buffer {
  const image = Buffer.alloc(40 * SECTOR);
  const descriptor = image.subarray(16 * SECTOR);
  descriptor[0] = 1;
  descriptor.write("CD001", 1, "latin1");
  descriptor.writeUInt16LE(SECTOR, 128);
  record({ name: "\0", lba: ROOT_LBA, length: SECTOR, more: false, folder: true }).copy(descriptor, 156);
  image[17 * SECTOR] = 255;
  image.write("CD001", 17 * SECTOR + 1, "latin1");
  const self = { lba: ROOT_LBA, length: SECTOR, more: false, folder: true };
  let at = ROOT_LBA * SECTOR;
  for (const entry of [{ ...self, name: "\0" }, { ...self, name: "\x01" }, ...entries]) at += record(entry).copy(image, at);
  return image;
}

function record({ name, lba, length, more, folder }: HandMadeEntry): Buffer {
  const octets = Buffer.alloc(33 + name.length + ((name.length + 1) % 2));
  octets[0] = octets.length;
  octets.writeUInt32LE(lba, 2);
  octets.writeUInt32LE(length, 10);
  octets[25] = (folder === true ? 2 : 0) | (more ? 0x80 : 0);
  octets[32] = name.length;
  octets.write(name, 33, "latin1");
  return octets;
}
