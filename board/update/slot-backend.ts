import { answerRauc } from "./backend.ts";
import { openCard } from "./card.ts";
import { SlotError } from "./slots.ts";

/** The program that RAUC starts (firmware/board/rauc/slot-backend): a question as arguments, the answer on stdout. */
try {
  const card = openCard();
  if (card === undefined) throw new SlotError("this system was not started from a card of rackboot's");
  const answer = await answerRauc(card, process.argv.slice(2));
  if (answer !== "") process.stdout.write(`${answer}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
