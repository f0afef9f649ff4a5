import { type Load, loadArguments } from "./cases.ts";
import { type Figures, runLoadgen } from "./loadgen.ts";
import { memoryOf, processTree } from "./processes.ts";
import { startTarget, type Target, type TargetName, type TargetOptions } from "./targets.ts";

const WARM_UP_SECONDS = 0.3;
/** A command or a login that takes longer than this is a failure. */
const TIMEOUT_SECONDS = 8;

export const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function measure(target: Target, load: Load, seconds: number, prefix: readonly string[]): Promise<Figures> {
  const pids = `--server-pid=${processTree(target.pid).join(",")}`;
  const times = [`--seconds=${seconds}`, `--warmup=${WARM_UP_SECONDS}`, `--timeout=${TIMEOUT_SECONDS}`];
  return runLoadgen([...target.words, ...loadArguments(load), ...times, pids], seconds, prefix);
}

/** A target that is started again when it failed: some peers never recover from what broke them. */
export class Seat {
  readonly name: TargetName;
  restBytes = 0;
  #peakBytes = 0;
  readonly #files: readonly string[];
  readonly #options: TargetOptions;
  #target: Target | undefined;

  constructor(name: TargetName, files: readonly string[], options: TargetOptions = {}) {
    this.name = name;
    this.#files = files;
    this.#options = options;
  }

  /** The same target once more, started otherwise. */
  another(options: TargetOptions): Seat {
    return new Seat(this.name, this.#files, options);
  }

  async target(): Promise<Target> {
    if (this.#target !== undefined) return this.#target;
    this.#target = await startTarget(this.name, this.#files, this.#options);
    return this.#target;
  }

  /** The figures, or why there are none, in the load generator's words and the target's. `prefix` stands before the generator. */
  async measure(load: Load, seconds: number, prefix: readonly string[] = []): Promise<Figures | string> {
    try {
      const figures = await measure(await this.target(), load, seconds, prefix);
      return figures.operations === 0 && load.mode !== "idle" ? "nothing was answered within the measured time" : figures;
    } catch (error) {
      const lastWords = this.#target?.lastWords() ?? "";
      await this.stop();
      return lastWords === "" ? reason(error) : `${reason(error)} (it said: ${lastWords})`;
    }
  }

  /** Notes what is resident while nobody has asked for anything yet. */
  rest(): void {
    this.restBytes = this.residentBytes;
  }

  get residentBytes(): number {
    return this.#target === undefined ? 0 : memoryOf(this.#target.pid, "VmRSS");
  }

  get peakBytes(): number {
    if (this.#target !== undefined) this.#peakBytes = Math.max(this.#peakBytes, memoryOf(this.#target.pid, "VmHWM"));
    return this.#peakBytes;
  }

  async stop(): Promise<void> {
    this.#peakBytes = this.peakBytes;
    const target = this.#target;
    this.#target = undefined;
    await target?.stop();
  }
}
