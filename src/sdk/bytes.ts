/** Bytes as Base64 and as text, by what every runtime has. */

/** Arguments of one call; engines have a limit. */
const CHUNK = 0x8000;

export function toBase64(bytes: Uint8Array): string {
  const pieces: string[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK) {
    pieces.push(String.fromCharCode(...bytes.subarray(at, at + CHUNK)));
  }
  return btoa(pieces.join(""));
}

export function fromBase64(text: string): Uint8Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** What is not UTF-8 becomes U+FFFD; nothing is left out, not even a mark at the beginning. */
export function utf8Decoder(): { decode(bytes?: Uint8Array, opts?: { stream?: boolean }): string } {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
