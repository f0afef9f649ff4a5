import { z } from "zod";
import type { DhcpQuirk } from "./config.ts";
import * as value from "./config-values.ts";
import { FIRMWARE_KINDS } from "./firmware.ts";

/** One entry of `dhcp.quirks`. */

/** A maker has a handful; a rack has a few cards that are odd. */
const MAX_QUIRK_MACS = 64;
const QUIRK_ALLOWED = "a mapping with vendor-class, mac or both, and what is different; or false, to do without a built-in quirk";

export const quirk: z.ZodType<DhcpQuirk | null> = z.union(
  [
    z.literal(false).transform(() => null),
    z
      .strictObject({
        "vendor-class": value
          .line("what the vendor class begins with", 1, 255)
          .exactOptional()
          .describe("What option 60 of these clients begins with."),
        mac: value
          .oneOrMore(value.macPrefix, "the beginning of a MAC address, such as b8:27:eb, or a list of them", MAX_QUIRK_MACS)
          .exactOptional()
          .describe("What their MAC address begins with; one or a list."),
        firmware: z
          .enum(FIRMWARE_KINDS, { error: FIRMWARE_KINDS.join(", ") })
          .exactOptional()
          .describe("What boots there, whatever it says of itself."),
        ignore: value.flag.exactOptional().describe("true: they are not answered."),
        broadcast: value.flag.exactOptional().describe("true: replies are broadcast, although they do not ask for that."),
        overload: value.flag.exactOptional().describe("false: options never travel in the fields file and sname."),
        terminate: value.flag.exactOptional().describe("true: texts end in a NUL."),
        request: value.flag.exactOptional().describe("false: they live on what they are offered, and send no REQUEST."),
        options: z
          .record(value.dhcpOptionNumber as unknown as z.ZodString, value.dhcpOption.nullable(), {
            error: "a mapping of option numbers to values",
          })
          .exactOptional()
          .describe("Options that they are always sent; null: never."),
      })
      .refine((entry) => entry["vendor-class"] !== undefined || entry.mac !== undefined, { error: QUIRK_ALLOWED })
      .transform(
        ({ "vendor-class": vendorClass, mac, ignore, overload, terminate, request, options, ...rest }): DhcpQuirk => ({
          ...rest,
          ...(vendorClass !== undefined && { vendorClass }),
          ...(mac !== undefined && { macs: mac }),
          ...(ignore !== undefined && { ignored: ignore }),
          ...(overload !== undefined && { plain: !overload }),
          ...(terminate !== undefined && { terminated: terminate }),
          ...(request !== undefined && { skipsRequest: !request }),
          ...(options !== undefined && { options: value.byNumber(options) }),
        }),
      ),
  ],
  { error: QUIRK_ALLOWED },
);
