import { readFileSync } from "node:fs";
import { answerRauc } from "../../../board/update/backend.ts";
import { Card } from "../../../board/update/card.ts";

/** The board's backend over a folder instead of a partition: `backend.ts FOLDER QUESTION...`; FOLDER/running says which slot runs. */
const [folder = "", ...question] = process.argv.slice(2);
const card = new Card(
  { bootPartitions: { a: 2, b: 3 }, bootConfigFolder: folder, stateFolder: folder, dataFolder: "/data", dataLabel: "RACKBOOT" },
  readFileSync(`${folder}/running`, "utf8") === "b" ? "b" : "a",
);
console.log(await answerRauc(card, question));
