import type { Config } from "./config.ts";
import type { Secrets } from "./secrets.ts";

/** What a configuration file and its secrets say, in force together. */
export interface Settings {
  readonly config: Config;
  readonly secrets: Secrets;
}
