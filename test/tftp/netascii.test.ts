import fc from "fast-check";
import { expect, test } from "vitest";
import { toNetascii } from "../../src/tftp/netascii.ts";

function convert(text: string): string {
  return Buffer.from(toNetascii(Buffer.from(text, "latin1"))).toString("latin1");
}

test("line ends become CR LF, and a bare CR stays one", () => {
  expect(convert("a\nb\n")).toBe("a\r\nb\r\n");
  expect(convert("a\rb")).toBe("a\r\0b");
  expect(convert("a\r\n")).toBe("a\r\0\r\n");
  expect(convert("")).toBe("");
});

test("a client that turns it back has the file again", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii" }), (text) => {
      expect(convert(text).replaceAll("\r\n", "\n").replaceAll("\r\0", "\r")).toBe(text);
    }),
  );
});
