/**
 * Who works on a volume: one at a time who changes it, or several who only read what is immutable of it. First come, first
 * served, so that nobody waits for ever.
 */
export class Locks<Key> {
  readonly #queues = new Map<Key, Queue>();

  exclusive<T>(key: Key, work: () => Promise<T>): Promise<T> {
    return this.#run(key, false, work);
  }

  shared<T>(key: Key, work: () => Promise<T>): Promise<T> {
    return this.#run(key, true, work);
  }

  async #run<T>(key: Key, shared: boolean, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key) ?? { running: 0, sharing: false, waiting: [] };
    this.#queues.set(key, queue);
    if (queue.running > 0 && !(shared && queue.sharing && queue.waiting.length === 0)) {
      await new Promise<void>((start) => queue.waiting.push({ shared, start }));
    } else {
      queue.running++;
      queue.sharing = shared;
    }
    try {
      return await work();
    } finally {
      queue.running--;
      this.#next(key, queue);
    }
  }

  #next(key: Key, queue: Queue): void {
    for (let first = queue.waiting[0]; first !== undefined; first = queue.waiting[0]) {
      if (queue.running > 0 && !(first.shared && queue.sharing)) return;
      queue.waiting.shift();
      queue.running++;
      queue.sharing = first.shared;
      first.start();
    }
    if (queue.running === 0) this.#queues.delete(key);
  }
}

interface Queue {
  running: number;
  /** Those that run only read. */
  sharing: boolean;
  readonly waiting: { readonly shared: boolean; readonly start: () => void }[];
}
