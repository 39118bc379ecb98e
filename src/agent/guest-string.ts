/**
 * Guest strings: paths, arguments and variables of the guest are bytes, and travel in JSON as UTF-8
 * where a byte that is not UTF-8 stands as the lone surrogate U+DC80 + (byte - 0x80) (PROTOCOL.md,
 * section 1; the rule is that of Python's PEP 383).
 */

const ESCAPE_BASE = 0xdc00;

/** Any bytes as a guest string; `encodeGuestString` gives the same bytes back. */
export function decodeGuestString(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(buffer);
  } catch {
    return decodeByteByByte(buffer);
  }
}

/** The bytes of a guest string. */
export function encodeGuestString(text: string): Buffer {
  const parts: Buffer[] = [];
  let plainFrom = 0;
  for (let i = 0; i < text.length; i++) {
    if (!isEscapedByte(text, i)) continue;
    parts.push(Buffer.from(text.slice(plainFrom, i), "utf8"));
    parts.push(Buffer.from([text.charCodeAt(i) - ESCAPE_BASE]));
    plainFrom = i + 1;
  }
  parts.push(Buffer.from(text.slice(plainFrom), "utf8"));
  return Buffer.concat(parts);
}

/** A low surrogate in U+DC80..U+DCFF that is not the second half of a pair. */
function isEscapedByte(text: string, index: number): boolean {
  const unit = text.charCodeAt(index);
  if (unit < 0xdc80 || unit > 0xdcff) return false;
  const before = index > 0 ? text.charCodeAt(index - 1) : 0;
  return before < 0xd800 || before > 0xdbff;
}

function decodeByteByByte(buffer: Buffer): string {
  let text = "";
  let offset = 0;
  while (offset < buffer.length) {
    const length = utf8Length(buffer, offset);
    if (length > 0) {
      text += buffer.toString("utf8", offset, offset + length);
      offset += length;
    } else {
      text += String.fromCharCode(ESCAPE_BASE + (buffer[offset] as number));
      offset += 1;
    }
  }
  return text;
}

/** Bytes of the well-formed UTF-8 sequence at `offset`; 0 if there is none. */
function utf8Length(buffer: Buffer, offset: number): number {
  const lead = buffer[offset] as number;
  const length =
    lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length === 0 || offset + length > buffer.length) return 0;
  const sequence = buffer.subarray(offset, offset + length);
  return Buffer.from(sequence.toString("utf8"), "utf8").equals(sequence) ? length : 0;
}
