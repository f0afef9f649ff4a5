/** What a user adds to what is written for a machine: lines of commands, and sections that end with %end. */
export interface Snippet {
  readonly lines: readonly string[];
  readonly sections: readonly SnippetSection[];
}

export interface SnippetSection {
  /** `%packages --ignoremissing`: the whole first line. */
  readonly header: string;
  /** `%packages`. */
  readonly name: string;
  readonly body: readonly string[];
}

export const NO_SNIPPET: Snippet = { lines: [], sections: [] };
/** A profile is written by a person. */
export const MAX_SNIPPET_BYTES: number = 256 * 1024;

/** A profile that cannot be used; the message says what and where. */
export class SnippetError extends Error {
  readonly code = "ERR_PROFILE";
}

/** What the machine is to be told is decided here, and so cannot be said by a profile as well. */
const OURS: Readonly<Record<string, string>> = {
  iscsiname: "the machine's initiator",
  iscsi: "the machine's target",
  ignoredisk: "the machine's first disk",
  rescue: "boot: { rescue: IMAGE }",
};

/** Throws {@link SnippetError} for a section without an end, and for commands that are not a profile's to say. */
export function parseKickstartSnippet(text: string): Snippet {
  const lines: string[] = [];
  const sections: SnippetSection[] = [];
  let open: { header: string; name: string; body: string[]; at: number } | undefined;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const [word = ""] = line.trim().split(/\s+/);
    if (open !== undefined) {
      if (word === "%end") {
        sections.push(open);
        open = undefined;
      } else open.body.push(line);
      continue;
    }
    if (word.startsWith("%") && !/^%(include|ksappend)$/.test(word)) {
      open = { header: line.trim(), name: word, body: [], at: index + 1 };
      continue;
    }
    const ours = OURS[word];
    if (ours !== undefined) throw new SnippetError(`line ${index + 1} says ${word}, which follows from ${ours}; leave it out`);
    if (word !== "") lines.push(line);
  }
  if (open !== undefined) throw new SnippetError(`the section ${open.name} of line ${open.at} has no %end`);
  return { lines, sections };
}

/** Lines of debconf answers, as they stand: where two answer the same question, d-i takes the later one. */
export function parsePreseedSnippet(text: string): Snippet {
  return { lines: text.replace(/\n+$/, "").split(/\r?\n/), sections: [] };
}

/** The commands that a snippet has, without comments. */
export function commandsOf({ lines }: Snippet): ReadonlySet<string> {
  return new Set(lines.flatMap((line) => (/^\s*#/.test(line) ? [] : [line.trim().split(/\s+/)[0] ?? ""])));
}
