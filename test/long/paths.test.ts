import { amount } from "./record.ts";

/** The kernel's initiator over two paths as in every test run, with ten minutes of checked writes in the place of one. */
process.env["RACKBOOT_FIO_SECONDS"] = String(amount("FIO_SECONDS", 600));
await import("../netboot/linux-initiator.test.ts");
