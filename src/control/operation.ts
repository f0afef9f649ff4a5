import type { Readable } from "node:stream";
import type { z } from "zod";
import { ControlError } from "./errors.ts";

/** One thing that the daemon does when it is asked. Input is checked before the handler sees it. */
export type Operation =
  | { readonly kind: "call"; readonly answer: (input: unknown) => Promise<unknown> }
  | { readonly kind: "stream"; readonly follow: (input: unknown, signal: AbortSignal) => AsyncIterable<unknown> }
  | { readonly kind: "upload"; readonly follow: (input: unknown, body: Readable, signal: AbortSignal) => AsyncIterable<unknown> }
  | { readonly kind: "download"; readonly send: (input: unknown, signal: AbortSignal, send: SendBody) => Promise<void> };

/** Sends the answer's body; resolves when the caller has it. */
export type SendBody = (body: AsyncIterable<Uint8Array>, sizeBytes: number) => Promise<void>;

export type Operations = Readonly<Record<string, Operation>>;

function checked<I>(schema: z.ZodType<I>, input: unknown): I {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new ControlError(
    "ERR_BAD_INPUT",
    result.error.issues.map((issue) => `${issue.path.join(".") || "input"}: ${issue.message}`).join("; "),
  );
}

/** An operation with one answer. Throw {@link ControlError} for what the caller should hear. */
export function call<I, O>(input: z.ZodType<I>, handle: (input: I) => O | Promise<O>): Operation {
  return { kind: "call", answer: async (raw) => handle(checked(input, raw)) };
}

/** An operation that answers for as long as the caller listens; `signal` aborts when it no longer does. */
export function stream<I, O>(input: z.ZodType<I>, handle: (input: I, signal: AbortSignal) => AsyncIterable<O>): Operation {
  return { kind: "stream", follow: (raw, signal) => handle(checked(input, raw), signal) };
}

/** As {@link stream}, with octets that the caller sends while it reads what comes back. */
export function upload<I, O>(input: z.ZodType<I>, handle: (input: I, body: Readable, signal: AbortSignal) => AsyncIterable<O>): Operation {
  return { kind: "upload", follow: (raw, body, signal) => handle(checked(input, raw), body, signal) };
}

/** An operation that answers with octets; it throws before it sends, or breaks off. */
export function download<I>(input: z.ZodType<I>, handle: (input: I, signal: AbortSignal, send: SendBody) => Promise<void>): Operation {
  return { kind: "download", send: (raw, signal, send) => handle(checked(input, raw), signal, send) };
}
