/** What kept a look from happening. */
export type LookFailure =
  /** No such device, folder or file, or not one that can be read as such. */
  | "not-found"
  /** More octets than the caller wanted to hear. */
  | "too-large"
  /** It took longer than a healthy disk takes, or more memory or processor time. */
  | "too-long"
  /** The reader of file systems gave up: what is on the disk makes no sense to it. */
  | "unreadable"
  /** The caller has lost interest, or the disk was closed. */
  | "cancelled"
  /** Too many looks at once. */
  | "busy"
  /** The programs that look are not installed, or the kernel cannot confine them. */
  | "no-reader";

/** A look inside a disk failed. The message is a sentence for people; `failure` is for programs. */
export class LookError extends Error {
  readonly code = "ERR_LOOK";
  readonly failure: LookFailure;

  constructor(failure: LookFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}
