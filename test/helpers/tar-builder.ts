/** Tar archives byte by byte, the broken ones, too. Names are byte strings: one character a byte. */
export interface EntrySpec {
  readonly path: string;
  /** The header's type flag, default `0` (file). */
  readonly type?: string;
  readonly data?: Buffer | string;
  readonly linkPath?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds. */
  readonly mtime?: number;
  readonly device?: { major: number; minor: number };
  /** Records of an extended header before the entry. */
  readonly pax?: readonly (readonly [key: string, value: string])[];
  /** What the header says, if not the data's length. */
  readonly size?: number;
  /** Default ustar. */
  readonly format?: "ustar" | "gnu" | "v7";
  /** Written over the finished header, before the checksum: offset and bytes. */
  readonly patch?: readonly (readonly [offset: number, bytes: Buffer])[];
}

export function tar(entries: readonly (EntrySpec | Buffer)[]): Buffer {
  return Buffer.concat([
    ...entries.map((entry) => (Buffer.isBuffer(entry) ? entry : tarEntry(entry))),
    Buffer.alloc(1024),
  ]);
}

export function tarEntry(spec: EntrySpec): Buffer {
  const parts: Buffer[] = [];
  const pax = [...(spec.pax ?? [])];
  if (pax.length > 0) parts.push(metaEntry("x", Buffer.concat(pax.map(paxRecord))));
  if (spec.path.length > 100) parts.push(metaEntry("L", bytesOf(`${spec.path}\0`)));
  if ((spec.linkPath?.length ?? 0) > 100)
    parts.push(metaEntry("K", bytesOf(`${spec.linkPath!}\0`)));
  const data =
    typeof spec.data === "string" ? Buffer.from(spec.data) : (spec.data ?? Buffer.alloc(0));
  parts.push(headerBlock({ ...spec, size: spec.size ?? data.length }), padded(data));
  return Buffer.concat(parts);
}

export function metaEntry(type: string, content: Buffer): Buffer {
  return Buffer.concat([
    headerBlock({ path: "meta", type, size: content.length }),
    padded(content),
  ]);
}

export function paxRecord([key, value]: readonly [string, string]): Buffer {
  const body = Buffer.concat([bytesOf(` ${key}=`), bytesOf(value), Buffer.from("\n")]);
  let length = body.length;
  while (`${length}`.length + body.length !== length) length = `${length}`.length + body.length;
  return Buffer.concat([Buffer.from(`${length}`), body]);
}

/** The stream that readers get, in chunks of `chunkBytes`. */
export async function* chunked(bytes: Buffer, chunkBytes = bytes.length): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

function headerBlock(spec: EntrySpec & { size: number }): Buffer {
  const block = Buffer.alloc(512);
  const { format = "ustar" } = spec;
  const put = (text: string, at: number, length: number): void => {
    bytesOf(text).copy(block, at, 0, length);
  };
  const octal = (value: number, at: number, length: number): void => {
    const text = value.toString(8);
    if (text.length < length) return put(`${text.padStart(length - 1, "0")}\0`, at, length);
    block.write(
      BigInt(value)
        .toString(16)
        .padStart((length - 1) * 2, "0"),
      at + 1,
      "hex",
    );
    block[at] = 0x80;
  };
  put(spec.path, 0, 100);
  octal(spec.mode ?? 0o644, 100, 8);
  octal(spec.uid ?? 0, 108, 8);
  octal(spec.gid ?? 0, 116, 8);
  octal(spec.size, 124, 12);
  octal(spec.mtime ?? 0, 136, 12);
  put(spec.type ?? "0", 156, 1);
  put(spec.linkPath ?? "", 157, 100);
  if (format !== "v7") {
    put(format === "gnu" ? "ustar  \0" : "ustar\u000000", 257, 8);
    octal(spec.device?.major ?? 0, 329, 8);
    octal(spec.device?.minor ?? 0, 337, 8);
  }
  for (const [offset, bytes] of spec.patch ?? []) bytes.copy(block, offset);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return block;
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}
