import type { ControlClient } from "../../src/control/client.ts";
import type { OfferedOperation } from "../../src/control/operations.ts";

/** What screens know of the daemon: its control operations, and nothing else. */
export type Daemon = Pick<ControlClient, "call" | "follow">;

/** What a screen shows at a time. Lines are plain text; what is too wide is cut. */
export interface View {
  readonly lines: readonly string[];
  readonly items: readonly Item[];
}

/** One numbered line that can be chosen. */
export interface Item {
  readonly label: string;
  /** What the daemon must offer for it; where it does not, that is said in its place. */
  readonly needs?: readonly OfferedOperation[];
  readonly action: Action;
}

export type Action =
  | { readonly kind: "open"; readonly screen: Screen }
  | { readonly kind: "form"; readonly form: Form }
  | { readonly kind: "paste"; readonly paste: Paste }
  | { readonly kind: "follow"; readonly follow: Follow }
  | { readonly kind: "run"; readonly job: Job }
  | { readonly kind: "handover"; readonly handover: Handover }
  | { readonly kind: "back" }
  | { readonly kind: "leave" };

/** A page that is made anew from the daemon whenever it is shown, and every `everyMs` while it is. */
export interface Screen {
  readonly title: string;
  readonly load: (daemon: Daemon, signal: AbortSignal) => Promise<View>;
  readonly everyMs?: number;
}

/** Questions on one page. Nothing is done before the last one is answered. */
export interface Form {
  readonly title: string;
  readonly lines: readonly string[];
  readonly fields: readonly Field[];
  /** What is done with the answers; a sentence where they do not go together. */
  readonly submit: (answers: Answers) => Action | string;
}

/** By the fields' names. */
export type Answers = Readonly<Record<string, string>>;

export interface Field {
  readonly name: string;
  readonly label: string;
  readonly value: string;
  readonly hint?: string;
  /** Shown as stars. */
  readonly secret?: boolean;
  /** The answer is one of these; the left and right keys go through them. */
  readonly choices?: readonly string[];
  /** A sentence where the answer will not do. */
  readonly check?: (answer: string, answers: Answers) => string | undefined;
}

/** Work that the daemon does. It ends with a sentence, or throws one. */
export interface Job {
  readonly title: string;
  readonly run: (daemon: Daemon, tools: JobTools) => Promise<Outcome>;
}

export interface JobTools {
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

export interface Outcome {
  readonly message: string;
  /** How many pages to leave: 0 stays; without it, the page that asked for the work, if that was a form. */
  readonly back?: number;
  /** What comes afterwards by itself. */
  readonly next?: Action;
}

/** Lines that go on coming. */
export interface Follow {
  readonly title: string;
  readonly lines: (daemon: Daemon, signal: AbortSignal) => AsyncIterable<string>;
}

/** A text that is pasted; it ends with a line that has a single full stop, or with Ctrl-D. */
export interface Paste {
  readonly title: string;
  readonly lines: readonly string[];
  readonly submit: (text: string) => Job;
}

/** Another program has the line until it ends. */
export interface Handover {
  readonly command: readonly [string, ...string[]];
  /** Said on the line before it begins. */
  readonly notice: string;
  /** Octets go through as they are: for file transfers. */
  readonly raw?: boolean;
  /** What follows, by how it ended. */
  readonly next: (code: number) => Job | string;
}

/** A form with a single question whose answer must be one word: for what cannot be taken back. */
export function typedConfirmation(title: string, lines: readonly string[], word: string, job: Job): Form {
  return {
    title,
    lines,
    fields: [
      {
        name: "word",
        label: `Type ${word} to go on`,
        value: "",
        check: (answer) => (answer === word ? undefined : `Only "${word}", written out, goes on; Esc leaves everything as it is.`),
      },
    ],
    submit: () => ({ kind: "run", job }),
  };
}
