/** Packets that wait at once; with the socket's own buffer more than a rack that powers up sends. What comes on top of it is dropped. */
export const INBOX_MAX = 1024;
/** Of those that can wait, as many are answered before the event loop has its turn. */
export const PATIENT_AT_ONCE = 64;

/**
 * What has arrived and is not answered yet. When more is asked than can be answered, first questions of strangers wait, and are dropped
 * in the end: an answered DISCOVER whose REQUEST is lost was work for nothing, and a machine of ours goes before a flood.
 */
export class Inbox<T> {
  #urgent: T[] = [];
  readonly #patient: T[] = [];

  /** False, and nothing is kept, where too many wait. */
  add(item: T, isUrgent: boolean): boolean {
    if (this.isFull) return false;
    (isUrgent ? this.#urgent : this.#patient).push(item);
    return true;
  }

  /** What is to be answered now: all that is urgent, then some of the others, each in the order of their coming. */
  take(): readonly T[] {
    const urgent = this.#urgent;
    this.#urgent = [];
    return urgent.concat(this.#patient.splice(0, PATIENT_AT_ONCE));
  }

  get isEmpty(): boolean {
    return this.#urgent.length + this.#patient.length === 0;
  }

  get isFull(): boolean {
    return this.#urgent.length + this.#patient.length >= INBOX_MAX;
  }
}
