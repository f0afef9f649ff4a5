/** What a person pressed, told apart from what a line made of it. */
export type Key =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: NamedKey }
  /** Octets that no keyboard sends: a disturbed line, or a wrong speed. */
  | { readonly kind: "noise" };

export type NamedKey =
  | "up"
  | "down"
  | "left"
  | "right"
  | "home"
  | "end"
  | "page-up"
  | "page-down"
  | "enter"
  | "tab"
  | "escape"
  | "backspace"
  | "delete"
  | "clear"
  | "redraw"
  | "interrupt"
  | "finish";

/**
 * How long a lone ESC waits for the rest of an arrow key. At 9600 baud a sequence takes 3 ms; USB adapters hold octets
 * back for up to 16 ms.
 */
export const ESCAPE_TIMEOUT_MS = 100;
/** Longer sequences are no keys: what comes after them is read anew. */
const MAX_SEQUENCE = 16;

const ESC = 0x1b;
const BEL = 0x07;
const CAN = 0x18;
/** Of a ZMODEM header in hexadecimal: type, four octets, checksum (Forsberg, "The ZMODEM Inter Application File Transfer Protocol", 7.3.3). */
const HEADER_DIGITS = 14;

/** Control characters that do something here (ECMA-48, 8.2); all others are noise. */
const CONTROLS: Readonly<Record<number, NamedKey>> = {
  3: "interrupt",
  4: "finish",
  8: "backspace",
  9: "tab",
  10: "enter",
  12: "redraw",
  13: "enter",
  21: "clear",
  127: "backspace",
};

/** NUL comes of a break, XON and XOFF of flow control, BEL of a terminal that is asked for nothing: none says anything. */
const SILENT: ReadonlySet<number> = new Set([0, BEL, 0x11, 0x13]);

/** The last octet of `ESC [` and `ESC O` sequences: VT100 in both cursor key modes, and what came after it. */
const FINALS: Readonly<Record<string, NamedKey>> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  F: "end",
  H: "home",
  M: "enter",
};

/** The number of `ESC [ n ~` sequences: VT220, Linux and rxvt. */
const TILDES: Readonly<Record<string, NamedKey>> = {
  "1": "home",
  "3": "delete",
  "4": "end",
  "5": "page-up",
  "6": "page-down",
  "7": "home",
  "8": "end",
};

type Expecting =
  | { readonly kind: "ground" }
  | { readonly kind: "escape" }
  | { readonly kind: "sequence"; readonly text: string }
  /** What the other side of a file transfer still says: its digits and its CR would choose an item of a menu. */
  | { readonly kind: "header"; readonly text: string };

/**
 * Octets of a line become keys. It takes anything that a line can deliver, in pieces of any size, and never throws. After
 * {@link ESCAPE_TIMEOUT_MS} without an octet, call {@link timeout} while {@link waiting}.
 */
export class KeyDecoder {
  #expecting: Expecting = { kind: "ground" };
  #afterReturn = false;

  get waiting(): boolean {
    return this.#expecting.kind !== "ground";
  }

  decode(octets: Uint8Array): readonly Key[] {
    const keys: Key[] = [];
    for (const octet of octets) {
      const key = this.#octet(octet);
      const last = keys.at(-1);
      if (key?.kind === "text" && last?.kind === "text") keys[keys.length - 1] = { kind: "text", text: last.text + key.text };
      else if (key !== undefined) keys.push(key);
    }
    return keys;
  }

  /** Nothing more came: a lone ESC is the escape key, a sequence that was begun is noise. */
  timeout(): readonly Key[] {
    const { kind } = this.#expecting;
    this.#expecting = { kind: "ground" };
    if (kind === "ground") return [];
    return [{ kind: kind === "escape" ? "escape" : "noise" }];
  }

  #octet(octet: number): Key | undefined {
    // A new ESC begins anew, whatever was begun before it.
    if (octet === ESC) {
      const before = this.#expecting.kind;
      this.#expecting = { kind: "escape" };
      return before === "escape" ? { kind: "escape" } : before === "sequence" ? { kind: "noise" } : undefined;
    }
    if (octet === CAN) {
      this.#expecting = { kind: "header", text: "" };
      return { kind: "noise" };
    }
    switch (this.#expecting.kind) {
      case "ground":
        return this.#plain(octet);
      case "escape":
        return this.#afterEscape(octet);
      case "sequence":
        return this.#inSequence(this.#expecting.text, octet);
      case "header":
        return this.#inHeader(this.#expecting.text, octet);
    }
  }

  #inHeader(text: string, octet: number): Key | undefined {
    const whole = text + String.fromCharCode(octet);
    if (/^B[\da-f]*$/.test(whole) && whole.length <= 1 + HEADER_DIGITS) {
      this.#expecting = { kind: "header", text: whole };
      return undefined;
    }
    this.#expecting = { kind: "ground" };
    return text.length === 1 + HEADER_DIGITS ? { kind: "noise" } : this.#plain(octet);
  }

  #plain(octet: number): Key | undefined {
    const afterReturn = this.#afterReturn;
    this.#afterReturn = octet === 0x0d;
    // Some terminals send CR LF for one press of the key.
    if (octet === 0x0a && afterReturn) return undefined;
    if (SILENT.has(octet)) return undefined;
    if (octet >= 0x20 && octet < 0x7f) return { kind: "text", text: String.fromCharCode(octet) };
    return { kind: CONTROLS[octet] ?? "noise" };
  }

  #afterEscape(octet: number): Key | undefined {
    if (octet === 0x5b || octet === 0x4f) {
      this.#expecting = { kind: "sequence", text: String.fromCharCode(octet) };
      return undefined;
    }
    // ESC and another key at once, as Alt makes them: neither is worth guessing.
    this.#expecting = { kind: "ground" };
    return { kind: "noise" };
  }

  #inSequence(text: string, octet: number): Key | undefined {
    const whole = text + String.fromCharCode(octet);
    // Parameters and intermediates are 20 to 3F, finals 40 to 7E (ECMA-48, 5.4).
    if (octet >= 0x20 && octet < 0x40 && whole.length < MAX_SEQUENCE) {
      this.#expecting = { kind: "sequence", text: whole };
      return undefined;
    }
    this.#expecting = { kind: "ground" };
    const final = whole.at(-1) ?? "";
    const named = final === "~" ? TILDES[/^\[(\d+)/.exec(whole)?.[1] ?? ""] : FINALS[final];
    return { kind: named ?? "noise" };
  }
}
