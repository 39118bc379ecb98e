/** Text from a guest, made safe to print: a terminal obeys control characters. */

/** `text` with every control character but line feed and tab as U+FFFD, carriage returns before line feeds dropped. */
export function printable(text: string): string {
  let safe = "";
  for (const character of text.replaceAll("\r\n", "\n").toWellFormed()) {
    const code = character.codePointAt(0) ?? 0;
    const isControl =
      (code < 0x20 && code !== 0x0a && code !== 0x09) || (code >= 0x7f && code <= 0x9f);
    safe += isControl ? "\ufffd" : character;
  }
  return safe;
}
