/** Does typed Python go on in the next line? Not a parser: what it takes for complete and is not, Python refuses. */

interface Scan {
  /** A bracket, a long string or a line that ends with a backslash. */
  readonly isOpen: boolean;
  /** A line ends with a colon, or is a decorator. */
  readonly hasBlock: boolean;
}

const OPENING = "([{";
const CLOSING = ")]}";

/** True for an open bracket or long string, and for a block until its empty line. */
export function isIncompletePython(text: string): boolean {
  const { isOpen, hasBlock } = scan(text);
  return isOpen || (hasBlock && !/\n[ \t]*$/.test(text));
}

function scan(text: string): Scan {
  let depth = 0;
  let hasBlock = false;
  /** The last character of the line so far that is code; and whether the line is a decorator. */
  let last = "";
  let isDecorator = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === "\n") {
      hasBlock ||= depth === 0 && (last === ":" || isDecorator);
      last = "";
      isDecorator = false;
    } else if (character === "#") at = lineEnd(text, at) - 1;
    else if (character === "\\") {
      // The line goes on: its end is no end.
      if (at + 1 >= text.length) return { isOpen: true, hasBlock };
      at++;
    } else if (character === '"' || character === "'") {
      const end = stringEnd(text, at);
      if (end === undefined) return { isOpen: true, hasBlock };
      at = end - 1;
      last = character;
    } else if (character.trim() !== "") {
      if (OPENING.includes(character)) depth++;
      else if (CLOSING.includes(character)) depth = Math.max(0, depth - 1);
      if (last === "" && depth === 0 && character === "@") isDecorator = true;
      last = character;
    }
  }
  return { isOpen: depth > 0, hasBlock: hasBlock || last === ":" || isDecorator };
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end === -1 ? text.length : end;
}

/** Where the string ends that begins at `from`; undefined when it goes on behind the text. */
function stringEnd(text: string, from: number): number | undefined {
  const quote = text[from]!;
  const isLong = text.startsWith(quote.repeat(3), from);
  const mark = isLong ? quote.repeat(3) : quote;
  for (let at = from + mark.length; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text.startsWith(mark, at)) return at + mark.length;
    // It was not closed, which is a mistake and not a string of several lines.
    else if (!isLong && text[at] === "\n") return at;
  }
  return isLong || text.endsWith("\\") ? undefined : text.length;
}
