import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { legendSvg } from "../../board/legend.ts";

test("the drawn legend shows what the lamps do today: `make legend` draws it anew", () => {
  const drawn = readFileSync(join(import.meta.dirname, "..", "..", "docs", "lamps.svg"), "utf8");
  expect(drawn).toBe(legendSvg());
});
