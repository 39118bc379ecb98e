/** Does typed JavaScript go on in the next line? It is compiled to see, and never run here. */
import { Script } from "node:vm";

const FILE = "typed";
/** A function, for `await` is allowed there. Its end is in the last line: a mistake there is that the text has ended. */
const BEFORE = "async () => {\n";
const AFTER = "\n}";

/** True when what is wrong with it is that it ends. */
export function isIncompleteNode(text: string): boolean {
  const error = mistakeIn(BEFORE + text + AFTER);
  if (error === null) return false;
  // It has closed what we had opened: there is a bracket too many.
  if (mistakeIn(BEFORE + text) === null) return false;
  return isAtEnd(error, text) || isInList(error, text) || isInComment(text);
}

function mistakeIn(code: string): SyntaxError | null {
  try {
    void new Script(code, { filename: FILE });
    return null;
  } catch (error) {
    if (error instanceof SyntaxError) return error;
    throw error;
  }
}

function isAtEnd(error: SyntaxError, text: string): boolean {
  const lastLine = (BEFORE + text + AFTER).split("\n").length;
  const [, line] = /^typed:(\d+)/.exec(error.stack ?? "") ?? [];
  return Number(line) >= lastLine;
}

/** What is missing behind the last argument is missed at that argument: one more moves the mistake to the end. */
function isInList(error: SyntaxError, text: string): boolean {
  if (!error.message.startsWith("missing )")) return false;
  const longer = `${text}\n,`;
  const moved = mistakeIn(BEFORE + longer + AFTER);
  return moved !== null && isAtEnd(moved, longer);
}

/** Of an open comment its beginning is said to be wrong. */
function isInComment(text: string): boolean {
  const start = text.lastIndexOf("/*");
  if (start === -1 || text.includes("*/", start + 2)) return false;
  const closed = `${text} */`;
  const error = mistakeIn(BEFORE + closed + AFTER);
  return error === null || isAtEnd(error, closed);
}
