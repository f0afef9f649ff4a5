import { isIP } from "node:net";
import { ImportError, type Note } from "./notes.ts";

/** A statement of ctl.conf(5): words, and what stands in its braces. */
interface Statement {
  readonly line: number;
  readonly words: readonly string[];
  readonly block?: readonly Statement[];
}

export interface ImportedLun {
  readonly number: number;
  readonly line: number;
  readonly path: string;
  readonly blockSize?: number;
  readonly serial?: string;
  readonly readOnly: boolean;
}

export interface ImportedSecret {
  readonly user: string;
  readonly secret: string;
  readonly mutual?: { readonly user: string; readonly secret: string };
}

export interface ImportedTarget {
  readonly line: number;
  readonly name: string;
  readonly luns: readonly ImportedLun[];
  /** Empty: whoever knows the target's name. */
  readonly initiators: readonly string[];
  readonly chap?: ImportedSecret;
}

export interface CtlImport {
  readonly targets: readonly ImportedTarget[];
  /** Addresses of portals; without those that mean every address. */
  readonly portals: readonly string[];
  readonly port?: number;
  readonly notes: readonly Note[];
}

interface Token {
  readonly line: number;
  /** A word, or `{`, `}`, or `;` for the end of a line. */
  readonly text: string;
  readonly quoted: boolean;
}

function tokensOf(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  for (const [index, content] of text.split("\n").entries()) {
    const line = index + 1;
    const pattern = /\s+|#.*|"((?:[^"\\]|\\.)*)"|([{};])|([^\s#"{};]+)|(.)/y;
    for (let match = pattern.exec(content); match !== null; match = pattern.exec(content)) {
      const [, quoted, sign, word, wrong] = match;
      if (wrong !== undefined) throw new ImportError(`${file}:${line}: ${wrong} does not belong here, or a quote has no end`);
      if (quoted !== undefined) tokens.push({ line, text: quoted.replace(/\\(.)/g, "$1"), quoted: true });
      else if (sign !== undefined || word !== undefined) tokens.push({ line, text: sign ?? word ?? "", quoted: false });
    }
    tokens.push({ line, text: ";", quoted: false });
  }
  return tokens;
}

/** Statements up to the closing brace or the end. */
function statementsOf(tokens: Token[], file: string, inside: boolean, line = 0): Statement[] {
  const statements: Statement[] = [];
  let words: Token[] = [];
  const end = (block?: readonly Statement[]): void => {
    const [first] = words;
    if (first !== undefined) statements.push({ line: first.line, words: words.map(({ text }) => text), ...(block && { block }) });
    words = [];
  };
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (token.quoted || !["{", "}", ";"].includes(token.text)) words.push(token);
    else if (token.text === ";") {
      // The brace of a block may stand on the next line.
      const next = tokens.find(({ text, quoted }) => quoted || text !== ";");
      if (next?.text !== "{" || next.quoted) end();
    } else if (token.text === "{") {
      if (words.length === 0) throw new ImportError(`${file}:${token.line}: a brace without a word before it`);
      end(statementsOf(tokens, file, true, token.line));
    } else {
      if (!inside) throw new ImportError(`${file}:${token.line}: a closing brace too many`);
      end();
      return statements;
    }
  }
  if (inside) throw new ImportError(`${file}:${line}: the brace that opens here is never closed`);
  end();
  return statements;
}

/** Of a target or an auth-group: who may log in, and how they prove themselves. */
interface Access {
  readonly initiators: string[];
  chap: ImportedSecret | undefined;
}

class Reader {
  readonly notes: Note[] = [];
  readonly #file: string;
  readonly #groups = new Map<string, Access>();
  readonly #luns = new Map<string, Statement>();
  readonly portals: string[] = [];
  port: number | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  note(line: number, message: string): void {
    this.notes.push({ file: this.#file, line, message });
  }

  read(statements: readonly Statement[]): readonly ImportedTarget[] {
    const groups = statements.filter(({ words }) => words[0] === "auth-group");
    for (const { words, block = [] } of groups) this.#groups.set(words[1] ?? "", this.#access(block, true));
    for (const statement of statements) if (statement.words[0] === "lun") this.#luns.set(statement.words[1] ?? "", statement);
    const targets: ImportedTarget[] = [];
    for (const statement of statements) {
      const { line, words, block = [] } = statement;
      const [what = "", name = ""] = words;
      if (what === "portal-group") this.#portalGroup(block);
      else if (what === "target") targets.push(this.#target(line, name, block));
      else if (!["auth-group", "lun", "debug", "maxproc", "pidfile", "timeout"].includes(what))
        this.note(line, `${what}: there is nothing like it in rackboot`);
    }
    return targets;
  }

  #portalGroup(block: readonly Statement[]): void {
    for (const { line, words } of block) {
      const [what = "", value = ""] = words;
      const [, v6, address = v6 ?? "", port] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(value) ?? [];
      if (what === "listen" || what === "listen-iser") {
        if (what === "listen-iser") this.note(line, "listen-iser: rackboot has no iSER");
        else if (address === "0.0.0.0") this.#takePort(line, port);
        else if (isIP(address) === 4) {
          this.portals.push(address);
          this.#takePort(line, port);
        } else this.note(line, `listen ${value}: portals of rackboot are IPv4 addresses`);
      } else if (what === "discovery-auth-group" && value === "no-authentication") {
        // An initiator discovers what it may log in to, and nothing else.
      } else this.note(line, `${what} of a portal-group is left out`);
    }
  }

  #takePort(line: number, text = "3260"): void {
    this.port ??= Number(text);
    if (this.port !== Number(text)) this.note(line, `port ${text} is left out: all portals have one, ${this.port}`);
  }

  #target(line: number, name: string, block: readonly Statement[]): ImportedTarget {
    const { initiators, chap } = this.#access(block, false);
    const luns = block.filter(({ words }) => words[0] === "lun").flatMap((statement) => this.#lun(statement) ?? []);
    const sorted = luns.toSorted((a, b) => a.number - b.number);
    for (const [index, lun] of sorted.entries()) {
      if (lun.number !== index)
        this.note(lun.line, `LUN ${lun.number} of ${name} becomes LUN ${index}: a machine's disks are numbered without gaps`);
    }
    return { line, name, luns: sorted, initiators, ...(chap !== undefined && { chap }) };
  }

  #access(block: readonly Statement[], group: boolean): Access {
    const access: Access = { initiators: [], chap: undefined };
    for (const { line, words } of block) {
      const [what = "", first = "", second = "", third, fourth] = words;
      if (what === "auth-group" && !group) {
        const named = this.#groups.get(first);
        if (named !== undefined) {
          access.initiators.push(...named.initiators);
          access.chap ??= named.chap;
        } else if (first === "deny" || first === "no-access")
          this.note(line, `auth-group ${first}: leave the target out to keep everybody away`);
        else if (first !== "no-authentication") this.note(line, `there is no auth-group ${first}`);
      } else if (what === "chap" || what === "chap-mutual") {
        const mutual = third !== undefined && fourth !== undefined ? { mutual: { user: third, secret: fourth } } : {};
        if (access.chap === undefined) access.chap = { user: first, secret: second, ...mutual };
        else this.note(line, `the secret of ${first} is left out: a machine has one`);
      } else if (what === "initiator-name") access.initiators.push(first);
      else if (what === "initiator-portal")
        this.note(line, `initiator-portal ${first} is left out: machines are known by their initiator names`);
      else if (what === "auth-type" && group) {
        if (first === "deny") this.note(line, "auth-type deny: leave the target out to keep everybody away");
      } else if (!group && !["lun", "portal-group", "alias"].includes(what)) this.note(line, `${what} of a target is left out`);
    }
    return access;
  }

  #lun({ line, words, block }: Statement): ImportedLun | undefined {
    const number = Number(words[1]);
    const body = block ?? this.#luns.get(words[2] ?? "")?.block;
    if (!Number.isInteger(number) || body === undefined) {
      this.note(line, `"${words.join(" ")}" is left out: it has no number, or no lun of that name`);
      return undefined;
    }
    let path: string | undefined;
    let blockSize: number | undefined;
    let serial: string | undefined;
    let readOnly = false;
    for (const statement of body) {
      const [what = "", value = "", more = ""] = statement.words;
      if (what === "path") path = value;
      else if (what === "blocksize") blockSize = Number(value);
      else if (what === "serial") serial = value;
      else if (what === "option" && value === "readonly") readOnly = /^(on|true|yes|1)$/i.test(more);
      else if (what === "size") this.note(statement.line, `size ${value} is left out: a file has the size that it has`);
      else if (!["backend", "device-type"].includes(what)) this.note(statement.line, `${[what, value].join(" ")} of a lun is left out`);
      else if (what === "backend" && value === "ramdisk") path = undefined;
    }
    if (path === undefined) {
      this.note(line, "a lun without a path (a RAM disk) is left out");
      return undefined;
    }
    return { number, line, path, readOnly, ...(blockSize !== undefined && { blockSize }), ...(serial !== undefined && { serial }) };
  }
}

/** Throws {@link ImportError} where it is no ctl.conf; what has no counterpart is noted. */
export function readCtlConf(text: string, file: string): CtlImport {
  const reader = new Reader(file);
  const targets = reader.read(statementsOf(tokensOf(text, file), file, false));
  return { targets, portals: reader.portals, ...(reader.port !== undefined && { port: reader.port }), notes: reader.notes };
}
