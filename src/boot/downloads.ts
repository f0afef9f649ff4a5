import type { Emit, FileRole } from "../state/events.ts";
import type { FileClient } from "./files.ts";

/** No download tells of its progress more often than this. */
const PROGRESS_INTERVAL_MS = 250;

/** One download under way. `finished` and `failed` end it; what is called afterwards is passed over. */
export interface Download {
  progressed(sentBytes: number): void;
  finished(sentBytes: number): void;
  failed(reason: string): void;
}

/** Numbers the downloads of TFTP and HTTP alike and tells what becomes of them. */
export class Downloads {
  readonly #emit: Emit;
  readonly #nowMs: () => number;
  #last = 0;

  /** `nowMs` is a clock that never goes back. */
  constructor(emit: Emit, nowMs: () => number) {
    this.#emit = emit;
    this.#nowMs = nowMs;
  }

  begin(client: FileClient, path: string, role: FileRole, sizeBytes: number): Download {
    const emit = this.#emit;
    const now = this.#nowMs;
    const transfer = ++this.#last;
    const who = client.machine === undefined ? {} : { machine: client.machine.name };
    const what = { transfer, transport: client.transport, address: client.address, path, role };
    const beganMs = now();
    let toldMs = beganMs;
    let over = false;
    emit({ type: "transfer.started", ...who, ...what, sizeBytes });
    return {
      progressed: (sentBytes) => {
        const nowMs = now();
        if (over || nowMs - toldMs < PROGRESS_INTERVAL_MS) return;
        toldMs = nowMs;
        emit({ type: "transfer.progressed", ...who, transfer, sentBytes });
      },
      finished: (sentBytes) => {
        if (over) return;
        over = true;
        emit({ type: "transfer.finished", ...who, ...what, sentBytes, elapsedMs: now() - beganMs });
      },
      failed: (reason) => {
        if (over) return;
        over = true;
        emit({ type: "transfer.failed", ...who, ...what, reason });
      },
    };
  }

  refused(client: FileClient, path: string, reason: string): void {
    const who = client.machine === undefined ? {} : { machine: client.machine.name };
    this.#emit({ type: "file.refused", ...who, transport: client.transport, address: client.address, path, reason });
  }
}
