/** What a terminal shows after it was sent `text`: as much of one as our output needs. Throws on anything else. */

// oxlint-disable-next-line no-control-regex -- what terminals obey begins with one
const TOKEN = /\u001b\[(\d*)([A-Za-z])|([\s\S])/gu;

/** The control characters in `text`, line feeds left out. */
export function controlsIn(text: string): string[] {
  return [...text].filter((character) => {
    const code = character.codePointAt(0) ?? 0;
    return (code < 0x20 && character !== "\n") || (code >= 0x7f && code <= 0x9f);
  });
}

/** The lines on the screen and above it, without spaces at their ends and without empty lines at the end. */
export function screenOf(text: string, columns = 80): string[] {
  const lines: string[][] = [[]];
  let row = 0;
  let column = 0;
  const tokens = text.matchAll(TOKEN);
  for (const [token, number = "", command, character] of tokens) {
    const line = (lines[row] ??= []);
    if (command !== undefined) {
      const amount = Number(number || "1");
      if (command === "A") row = Math.max(0, row - amount);
      else if (command === "G") column = amount - 1;
      else if (command === "K") eraseLine(line, column, number);
      else if (command === "J" && (number === "0" || number === "")) {
        line.length = Math.min(line.length, column);
        lines.length = row + 1;
      } else throw new Error(`the screen does not know ${JSON.stringify(token)}`);
    } else if (character === "\n") {
      // The terminal driver puts a carriage return before it.
      row += 1;
      column = 0;
    } else if (character === "\r") column = 0;
    else if (character! < " ") throw new Error(`a control character: ${JSON.stringify(token)}`);
    else {
      if (column >= columns) throw new Error("a line is too wide for the screen");
      line[column++] = character!;
    }
  }
  const shown = Array.from(lines, (line = []) =>
    Array.from(line, (character = " ") => character)
      .join("")
      .trimEnd(),
  );
  while (shown.at(-1) === "") shown.pop();
  return shown;
}

function eraseLine(line: string[], column: number, mode: string): void {
  if (mode === "2") line.length = 0;
  else line.length = Math.min(line.length, column);
}
