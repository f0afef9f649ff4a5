/**
 * What is wrong with a text in the Prometheus exposition format 0.0.4, as `promtool check metrics` would say it; empty
 * where nothing is.
 */
export function problemsOfMetrics(text: string): readonly string[] {
  const problems: string[] = [];
  const families = new Map<string, { help?: string; type?: string; samples: number }>();
  const seen = new Set<string>();
  let current = "";
  const family = (name: string) => {
    const known = families.get(name) ?? { samples: 0 };
    families.set(name, known);
    return known;
  };
  if (!text.endsWith("\n")) problems.push("the last line does not end");
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = "", rest = ""] = comment;
      const entry = family(name);
      if (entry.samples > 0) problems.push(`${kind} of ${name} comes after its samples`);
      if (kind === "HELP") entry.help = rest;
      else if (/^(counter|gauge|histogram|summary|untyped)$/.test(rest)) entry.type = rest;
      else problems.push(`${name} is of no known type: ${rest}`);
      if (name !== current && seen.has(`family ${name}`)) problems.push(`the samples of ${name} do not stand together`);
      seen.add(`family ${name}`);
      current = name;
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)$/.exec(line);
    if (sample === null) {
      problems.push(`no sample: ${line}`);
      continue;
    }
    const [, name = "", labels = "", value = ""] = sample;
    if (!/^(?:[+-]?Inf|NaN|[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/i.test(value)) problems.push(`${name} has no number: ${value}`);
    const entry = family(current);
    entry.samples++;
    const suffixes = entry.type === "histogram" ? ["_bucket", "_sum", "_count"] : entry.type === "summary" ? ["", "_sum", "_count"] : [""];
    if (!suffixes.some((suffix) => name === current + suffix)) problems.push(`${name} stands under ${current}`);
    if (seen.has(`${name}{${labels}}`)) problems.push(`${name}{${labels}} is there twice`);
    seen.add(`${name}{${labels}}`);
  }
  for (const [name, { help, type }] of families) {
    if (help === undefined) problems.push(`${name} has no HELP`);
    if (type === undefined) problems.push(`${name} has no TYPE`);
    if (type === "counter" && !name.endsWith("_total")) problems.push(`counter ${name} does not end in _total`);
    if (type !== "counter" && name.endsWith("_total")) problems.push(`${name} ends in _total and is no counter`);
    if (/_(milliseconds|kilobytes|megabytes|minutes|hours|ms|kb|mb|percent)(_|$)/.test(name)) problems.push(`${name} is in no base unit`);
    if (!name.startsWith("rackboot_")) problems.push(`${name} does not begin with rackboot_`);
  }
  return problems;
}
