/** Bodies of answers as text, up to a limit. */

export interface BodyText {
  readonly text: string;
  /** There was more, which was not read. */
  readonly isCut: boolean;
}

/** What the network says is thrown as it is. */
export async function bodyText(response: Response, maxBytes: number): Promise<BodyText> {
  if (response.body === null) return { text: "", isCut: false };
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const pieces: string[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { text: pieces.join("") + decoder.decode(), isCut: false };
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      void reader.cancel().catch(() => {});
      return { text: pieces.join(""), isCut: true };
    }
    pieces.push(decoder.decode(value, { stream: true }));
  }
}

export function isJson(response: Response): boolean {
  return /^application\/(?:[\w.-]+\+)?json\b/i.test(response.headers.get("content-type") ?? "");
}
