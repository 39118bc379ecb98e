/** What a bench found out, as one JSON document: for people, and in the file that run.mjs makes rows of. */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";

/** With the machine's CPU; to `file`, too, if there is one. */
export function writeResult(figures, file) {
  const result = { cpu: cpus()[0]?.model ?? "unknown", ...figures };
  console.log(JSON.stringify(result, null, 2));
  if (file) writeFileSync(file, JSON.stringify(result));
}
