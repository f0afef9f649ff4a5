import type { System } from "../src/control/system-operations.ts";
import type { Faults } from "../src/state/faults.ts";
import type { Identify } from "../src/state/identify.ts";
import type { Store } from "../src/state/store.ts";
import { type Board, findBoard } from "./board.ts";
import { Button, type ButtonAction } from "./button.ts";
import { HealthWatcher } from "./health/watcher.ts";
import { Lamps } from "./lamps.ts";
import { Leds } from "./leds.ts";

export interface PanelParts {
  /** `--board`, or what the environment says; absent: what the device tree says. */
  readonly board?: string;
  readonly store: Store;
  readonly faults: Faults;
  readonly identify: Identify;
  /** `storage.path`: the disk under it is the data disk. */
  readonly storage: string;
  /** Absent on a person's own machine. */
  readonly system?: System;
  /** Commands that disks have answered so far. */
  readonly ioOperations: () => number;
}

/** The front of the appliance, as far as the board has one: lamps, the button, and how the board feels. Nothing that is wrong with it stops the daemon. */
export class Panel {
  readonly board: Board;
  readonly #parts: PanelParts;
  readonly #health: HealthWatcher;
  #leds: Leds | undefined;
  #lamps: Lamps | undefined;
  #button: Button | undefined;

  /** Throws BoardError where there is no such board. */
  constructor(parts: PanelParts) {
    this.#parts = parts;
    this.board = findBoard(parts.board);
    this.#health = new HealthWatcher(parts);
  }

  async start(): Promise<void> {
    const { store, ioOperations } = this.#parts;
    const leds = await Leds.open(this.board, { emit: store.emit });
    this.#leds = leds;
    if (leds.lights.length > 0) {
      this.#lamps = new Lamps({ state: () => store.snapshot(), ioOperations, write: (lamp, on) => leds.write(lamp, on) });
      this.#lamps.start();
    }
    await this.#openButton();
    this.#health.start();
  }

  /** All lamps are off afterwards. */
  stop(): void {
    this.#health.stop();
    this.#lamps?.stop();
    this.#leds?.close();
    this.#button?.close();
  }

  async #openButton(): Promise<void> {
    const { button } = this.board;
    if (button === undefined) return;
    try {
      this.#button = await Button.open(button, (action) => this.#pressed(action));
    } catch (cause) {
      const part = `the button (${button.chip} line ${button.line})`;
      this.#parts.store.emit({ type: "panel.missing", part, reason: (cause as Error).message });
    }
  }

  #pressed(action: ButtonAction): void {
    this.#parts.store.emit({ type: "panel.pressed", action });
    if (action === "identify") this.#parts.identify.toggle();
    else void this.#shutDown();
  }

  async #shutDown(): Promise<void> {
    const { store, system } = this.#parts;
    try {
      if (system === undefined) throw new Error("only the appliance can be shut down by its button; stop rackboot by SIGTERM");
      await system.shutdown();
    } catch (cause) {
      store.emit({ type: "service.slipped", service: "button", reason: (cause as Error).message });
    }
  }
}
