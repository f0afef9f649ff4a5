import type { QemuMachine } from "../harness/qemu.ts";

/** Control-], as telnet and virsh have it. */
const LEAVE = "\u001d";

/** Joins this terminal to the machine's serial console until Control-] is typed, or the machine is off. */
export async function joinConsole(machine: QemuMachine): Promise<void> {
  const { stdin, stdout } = process;
  const stop = machine.onOutput((chunk) => stdout.write(chunk));
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  // The prompt was printed before anybody looked.
  machine.type("\n");
  try {
    const { promise: left, resolve: leave } = Promise.withResolvers<void>();
    stdin.on("data", (typed: string) => {
      if (typed.includes(LEAVE)) leave();
      else machine.type(typed);
    });
    await Promise.race([left, machine.off()]);
  } finally {
    stop();
    stdin.setRawMode(false);
    stdin.pause();
    stdout.write("\r\n");
  }
}
