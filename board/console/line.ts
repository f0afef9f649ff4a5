/** What the console is told of its line. */
export interface LineEvents {
  readonly octets: (octets: Uint8Array) => void;
  /** There is a line now, for the first time or again: nothing is known of what its terminal shows. */
  readonly opened: () => void;
  /** The cable is out. The line looks for it by itself. */
  readonly closed: (reason: string) => void;
  /** What was written last has been taken; {@link Line.ready} is true. */
  readonly drained: () => void;
}

/** A terminal and the way to it. Nothing of it ever blocks, and of what is written nothing is queued but one text. */
export interface Line {
  /** Bits a second, where there is such a thing. */
  readonly speed?: number;
  /** The person can leave the console, and is somewhere else then. */
  readonly canLeave: boolean;
  /** Open, and the text before has been taken. Only then may {@link write} be called. */
  readonly ready: boolean;
  open(events: LineEvents): void;
  write(text: string): void;
  /** Another program has the line until it ends; resolves to its exit code. `raw`: octets go through as they are. */
  lend(command: readonly string[], raw: boolean): Promise<number>;
  close(): Promise<void>;
}
