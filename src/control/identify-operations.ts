import { z } from "zod";
import { DEFAULT_IDENTIFY_MS, type Identify, MAX_IDENTIFY_MS } from "../state/identify.ts";
import { call, type Operations } from "./operation.ts";

export interface IdentifyCalls {
  /** 0 ends it. Answers for how long, in seconds. */
  readonly identify: { readonly input: { readonly seconds?: number }; readonly output: { readonly seconds: number } };
}

const MAX_SECONDS = MAX_IDENTIFY_MS / 1000;

export function identifyOperations(identify: Identify): Operations {
  const seconds = z
    .number()
    .min(0)
    .max(MAX_SECONDS, { error: `at most ${MAX_SECONDS} seconds` })
    .exactOptional();
  return {
    identify: call(z.strictObject({ seconds }), ({ seconds = DEFAULT_IDENTIFY_MS / 1000 }) => {
      if (seconds === 0) identify.stop();
      else identify.start(seconds * 1000);
      return { seconds };
    }),
  };
}
