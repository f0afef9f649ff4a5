/** What could not be carried over, or was guessed: one line of a file, and a sentence. */
export interface Note {
  /** As it was named on the command line. */
  readonly file: string;
  /** From 1; 0 where the whole file is meant. */
  readonly line: number;
  readonly message: string;
}

export function formatNote({ file, line, message }: Note): string {
  return line === 0 ? `${file}: ${message}` : `${file}:${line}: ${message}`;
}

/** A file that cannot be read as what it should be; nothing is written then. */
export class ImportError extends Error {
  readonly code = "ERR_IMPORT";
}
