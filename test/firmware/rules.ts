/** The rules of Buildroot's check-package that a slip breaks most often (Buildroot manual, "Coding style" and "Adding new packages"). */
export type Rule = (lines: readonly string[]) => readonly string[];

const HASHES = "#".repeat(80);
const HASH_DIGITS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** Says `line: what` for each line that `wrong` is true of. */
function each(what: string, wrong: (line: string, index: number, lines: readonly string[]) => boolean): Rule {
  return (lines) => lines.flatMap((line, index) => (wrong(line, index, lines) ? [`${index + 1}: ${what}`] : []));
}

const everywhere: readonly Rule[] = [
  each("trailing space", (line) => /\s$/.test(line)),
  each("two empty lines", (line, index, lines) => line === "" && lines[index - 1] === ""),
  (lines) => (lines.at(-1) === "" ? ["the last line is empty"] : []),
];

function isHelp(lines: readonly string[], index: number): boolean {
  for (let before = index - 1; before >= 0; before--) {
    const line = lines[before] ?? "";
    if (line === "\thelp") return true;
    if (line !== "" && !line.startsWith("\t  ")) return false;
  }
  return false;
}

/** Inside `define`, below a target and after a backslash, make wants tabs. */
const makeIndent: Rule = (lines) => {
  const found: string[] = [];
  let inside = false;
  for (const [index, line] of lines.entries()) {
    if (/^endef/.test(line)) inside = false;
    const continued = /^[^#].*\\$/.test(lines[index - 1] ?? "");
    if ((inside || continued) && line !== "" && !line.startsWith("\t")) found.push(`${index + 1}: no tab`);
    if (!inside && !continued && line.startsWith("\t")) found.push(`${index + 1}: a tab too many`);
    if (/^define\s/.test(line)) inside = true;
  }
  return found;
};

const RULES: readonly (readonly [RegExp, readonly Rule[]])[] = [
  [
    /\.mk$/,
    [
      (lines) =>
        lines[0]?.startsWith("include ") || (lines[0] === HASHES && lines[1] === "#" && lines[4] === HASHES && lines[5] === "")
          ? []
          : ["header"],
      makeIndent,
      each("braces around a variable", (line) => /^[^#].*[^$]\$\{\w+\}/.test(line)),
      each("more than one space before the backslash", (line) => /( {2}|\t ?)\\$/.test(line)),
    ],
  ],
  [
    /Config\.in$/,
    [
      each(
        "help text: tab, two spaces, 62 characters",
        (line, index, lines) => isHelp(lines, index) && line !== "" && !/^\t {2}.{1,62}$/.test(line) && line.startsWith("\t "),
      ),
      each(
        "an attribute is indented by one tab",
        (line) => /^\s*(bool|default|depends|help|select|string)\b/.test(line) && !/^\t\S/.test(line) && !/^\t {2}/.test(line),
      ),
      each("default n is the default", (line) => line === "\tdefault n"),
    ],
  ],
  [
    /\.hash$/,
    [
      each(
        "type, hash and file, two spaces apart",
        (line) => line !== "" && !line.startsWith("#") && !/^\S+ {2}[0-9a-f]+ {2}\S+$/.test(line),
      ),
      each("length of the hash", (line) => {
        const [type = "", hash = ""] = line.split("  ");
        return !line.startsWith("#") && line !== "" && HASH_DIGITS[type] !== hash.length;
      }),
      each("a comment says where a hash is from", (line, index) => index === 0 && !line.startsWith("#")),
    ],
  ],
  [/_defconfig$/, [(lines) => (lines.includes("BR2_DOWNLOAD_FORCE_CHECK_HASHES=y") ? [] : ["hashes are not forced"])]],
];

/** What check-package would say of a file; empty where it would be content. */
export function complaints(name: string, text: string): readonly string[] {
  if (!text.endsWith("\n")) return [`${name}: no newline at the end`];
  const lines = text.slice(0, -1).split("\n");
  const rules = RULES.find(([pattern]) => pattern.test(name))?.[1] ?? [];
  return [...everywhere, ...rules].flatMap((rule) => rule(lines)).map((found) => `${name}:${found}`);
}
