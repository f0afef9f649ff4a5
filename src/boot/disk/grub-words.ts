import type { GrubVariables } from "./grubenv.ts";

/** Words of one command that are kept; a kernel takes no more than its command line has room for. */
const MAX_WORDS = 1024;

/**
 * The words of one command of GRUB's script language, variables replaced: white space parts words, `'...'` is literal,
 * `"..."` is literal but for `$` and `\`, `\` takes the meaning from the next character, `#` where a word could begin ends the
 * line. A variable outside quotes can be several words, or none. The command ends at a line end, `;`, `&` or `|`.
 */
export function scriptWords(text: string, variables: GrubVariables): readonly string[] {
  const words: string[] = [];
  let word: string | undefined;
  const add = (piece: string): void => {
    word = (word ?? "") + piece;
  };
  const end = (): void => {
    if (word !== undefined && words.length < MAX_WORDS) words.push(word);
    word = undefined;
  };
  const token =
    /'([^']*)'?|"((?:\\[\s\S]|[^"\\])*)"?|\\(\n|[\s\S]?)|\$(?:\{([^}\n]*)\}|([A-Za-z_][A-Za-z0-9_]*|[0-9*#@?]))|([ \t\r]+)|([\n;&|])|([^'"\\$ \t\r\n;&|]+|\$)/gy;
  for (const [, single, double, escaped, braced, named, blank, terminator, plain] of text.matchAll(token)) {
    const variable = braced ?? named;
    if (blank !== undefined) end();
    else if (terminator !== undefined) break;
    else if (single !== undefined) add(single);
    else if (double !== undefined) add(insideQuotes(double, variables));
    else if (escaped !== undefined) add(escaped === "\n" ? "" : escaped);
    else if (variable !== undefined) {
      const [first, ...others] = (variables.get(variable) ?? "").split(/[ \t\n]+/);
      if (first !== undefined && (first !== "" || others.length > 0)) add(first);
      for (const other of others) {
        if (word === "") word = undefined;
        end();
        add(other);
      }
      if (others.length > 0 && word === "") word = undefined;
    } else if (plain !== undefined) {
      if (word === undefined && plain.startsWith("#")) break;
      add(plain);
    }
  }
  end();
  return words;
}

function insideQuotes(text: string, variables: GrubVariables): string {
  return text.replaceAll(
    /\\([$"\\\n])|\$(?:\{([^}\n]*)\}|([A-Za-z_][A-Za-z0-9_]*))/g,
    (_whole, escaped?: string, braced?: string, named?: string) => {
      if (escaped !== undefined) return escaped === "\n" ? "" : escaped;
      return variables.get(braced ?? named ?? "") ?? "";
    },
  );
}

/** Words as one kernel command line: what holds white space is put between double quotes, as GRUB's linux command does. */
export function joinWords(words: readonly string[]): string {
  return words.map((word) => (/\s/.test(word) ? `"${word.replaceAll('"', "")}"` : word)).join(" ");
}
