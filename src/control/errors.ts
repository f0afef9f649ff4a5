/** Stable codes, of the daemon's answers as well as of what keeps a client from getting one. */
export type ControlErrorCode =
  | "ERR_CONTROL_UNREACHABLE"
  | "ERR_CONTROL_IN_USE"
  | "ERR_CONTROL_SOCKET"
  | "ERR_CONTROL_PROTOCOL"
  | "ERR_UNKNOWN_OPERATION"
  | "ERR_BAD_INPUT"
  | "ERR_NOT_FOUND"
  | "ERR_REFUSED"
  | "ERR_TOO_LARGE"
  | "ERR_TOO_SLOW"
  | "ERR_INTERNAL";

/** The message says what to do next. */
export class ControlError extends Error {
  readonly code: ControlErrorCode;

  constructor(code: ControlErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The status of an answer that carries the error (RFC 9110, 15). */
export const HTTP_STATUS: Readonly<Record<ControlErrorCode, number>> = {
  ERR_CONTROL_UNREACHABLE: 503,
  ERR_CONTROL_IN_USE: 503,
  ERR_CONTROL_SOCKET: 503,
  ERR_CONTROL_PROTOCOL: 400,
  ERR_UNKNOWN_OPERATION: 404,
  ERR_BAD_INPUT: 400,
  ERR_NOT_FOUND: 404,
  ERR_REFUSED: 409,
  ERR_TOO_LARGE: 413,
  ERR_TOO_SLOW: 503,
  ERR_INTERNAL: 500,
};
