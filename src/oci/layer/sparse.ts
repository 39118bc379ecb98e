/** Sparse files in tar archives (GNU tar manual, "Storing Sparse Files"): the old format, and pax 0.0, 0.1, 1.0. */
import type { ByteReader } from "./byte-reader.js";
import { type PaxRecord, parsePaxNumber } from "./pax.js";

/** A run of data; what no run covers is zeros. */
export interface SparseRun {
  readonly offset: number;
  readonly length: number;
}

export interface SparseMap {
  readonly runs: readonly SparseRun[];
  /** The file's size with its holes. */
  readonly sizeBytes: number;
}

const BLOCK_BYTES = 512;
const MAX_RUNS = 100_000;
/** The old format's header: four runs, a flag for more, the real size. */
const OLD_RUNS_OFFSET = 386;
const OLD_MORE_OFFSET = 482;
const OLD_SIZE_OFFSET = 483;
const OLD_RUN_BYTES = 24;

/** The map of a header of type `S`, with the blocks that go on with it. Throws RangeError. */
export async function readOldSparse(header: Buffer, reader: ByteReader): Promise<SparseMap> {
  const runs: SparseRun[] = [];
  const collect = (block: Buffer, at: number, count: number): void => {
    for (let index = 0; index < count; index += 1) {
      const run = at + index * OLD_RUN_BYTES;
      if (block[run] === 0) return;
      runs.push({ offset: tarNumber(block, run, 12), length: tarNumber(block, run + 12, 12) });
    }
  };
  collect(header, OLD_RUNS_OFFSET, 4);
  let hasMore = header[OLD_MORE_OFFSET] !== 0;
  while (hasMore) {
    const block = await reader.read(BLOCK_BYTES);
    if (block === undefined) throw new RangeError("it ends within a sparse map");
    collect(block, 0, 21);
    hasMore = block[504] !== 0;
    if (runs.length > MAX_RUNS) throw tooManyRuns();
  }
  return checkedMap(runs, tarNumber(header, OLD_SIZE_OFFSET, 12));
}

/** How a pax header says that its file is sparse. */
export type PaxSparse =
  | { readonly format: "none" }
  | { readonly format: "map"; readonly map: SparseMap; readonly name?: string }
  /** Format 1.0: the map stands before the data. */
  | { readonly format: "in-data"; readonly sizeBytes: number; readonly name?: string };

/** Throws RangeError. */
export function paxSparse(records: readonly PaxRecord[]): PaxSparse {
  const last = new Map(records);
  const name = last.get("GNU.sparse.name");
  const named = name === undefined ? {} : { name };
  const realSize = last.get("GNU.sparse.realsize") ?? last.get("GNU.sparse.size");
  if (last.get("GNU.sparse.major") === "1" && last.get("GNU.sparse.minor") === "0") {
    return { format: "in-data", sizeBytes: parsePaxNumber(realSize ?? ""), ...named };
  }
  const inOneRecord = last.get("GNU.sparse.map");
  const numbers =
    inOneRecord === undefined
      ? records
          .filter(([key]) => key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes")
          .map(([, value]) => value)
      : inOneRecord.split(",").filter((part) => part !== "");
  if (realSize === undefined || (inOneRecord === undefined && numbers.length === 0)) {
    return { format: "none" };
  }
  return { format: "map", map: checkedMap(pairs(numbers), parsePaxNumber(realSize)), ...named };
}

/** The map of format 1.0, which fills whole blocks; `blockBytes` is how many were read. Throws RangeError. */
export async function readInDataMap(
  reader: ByteReader,
  sizeBytes: number,
): Promise<{ map: SparseMap; blockBytes: number }> {
  let text = "";
  let blockBytes = 0;
  let wanted: number | undefined;
  for (;;) {
    const lines = text.split("\n");
    const complete = lines.length - 1;
    if (wanted === undefined && complete > 0) {
      wanted = 1 + 2 * parsePaxNumber(lines[0]!);
      if (wanted > 2 * MAX_RUNS) throw tooManyRuns();
    }
    if (wanted !== undefined && complete >= wanted) {
      return { map: checkedMap(pairs(lines.slice(1, wanted)), sizeBytes), blockBytes };
    }
    if (text.length > 64 * MAX_RUNS) throw tooManyRuns();
    const block = await reader.read(BLOCK_BYTES);
    if (block === undefined) throw new RangeError("it ends within a sparse map");
    text += block.toString("latin1");
    blockBytes += BLOCK_BYTES;
  }
}

function pairs(numbers: readonly string[]): SparseRun[] {
  if (numbers.length % 2 !== 0) throw new RangeError("a sparse map has an odd count of numbers");
  if (numbers.length > 2 * MAX_RUNS) throw tooManyRuns();
  const runs: SparseRun[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    runs.push({
      offset: parsePaxNumber(numbers[index]!),
      length: parsePaxNumber(numbers[index + 1]!),
    });
  }
  return runs;
}

function checkedMap(runs: readonly SparseRun[], sizeBytes: number): SparseMap {
  let end = 0;
  for (const run of runs) {
    if (run.offset < end || run.offset + run.length > sizeBytes) {
      throw new RangeError("a sparse map does not fit its file");
    }
    end = run.offset + run.length;
  }
  return { runs: runs.filter((run) => run.length > 0), sizeBytes };
}

function tooManyRuns(): RangeError {
  return new RangeError(`a sparse file has more than ${MAX_RUNS} runs`);
}

/** An octal number, or one in base 256 as GNU tar writes large ones. Throws RangeError. */
export function tarNumber(block: Buffer, at: number, length: number): number {
  if (block[at] === 0x80) {
    const value = BigInt(`0x${block.toString("hex", at + 1, at + length)}`);
    if (value > Number.MAX_SAFE_INTEGER) throw new RangeError("a number is too large");
    return Number(value);
  }
  const text = block
    .toString("latin1", at, at + length)
    .split("\0", 1)[0]!
    .trim();
  if (!/^[0-7]*$/.test(text)) throw new RangeError("a number is not octal");
  return text === "" ? 0 : Number.parseInt(text, 8);
}
