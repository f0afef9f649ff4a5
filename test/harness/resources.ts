/**
 * What was started must be stopped, in the opposite order, whatever happened in between: a test or the demo takes one of
 * these, gives every thing that it starts a way to end, and closes it once.
 */
export class Resources {
  readonly #endings: { readonly name: string; readonly end: () => Promise<void> | void }[] = [];

  defer(name: string, end: () => Promise<void> | void): void {
    this.#endings.push({ name, end });
  }

  /** Runs every ending, the last first, also after one that failed; throws what failed afterwards. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let ending = this.#endings.pop(); ending !== undefined; ending = this.#endings.pop()) {
      try {
        await ending.end();
      } catch (error) {
        failures.push(new Error(`${ending.name} did not end`, { cause: error }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "not everything ended");
  }
}
