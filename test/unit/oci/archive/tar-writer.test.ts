import { Header } from "tar";
import { expect, test } from "vitest";
import { tarStream } from "../../../../src/oci/archive/tar-writer.js";

const EPOCH = new Date(0);

test("a file of more than 8 GiB has its size in the header", async () => {
  const sizeBytes = 9 * 1024 ** 3;
  const stream = tarStream([{ path: "huge", mode: 0o644, sizeBytes, content: () => [] }], EPOCH);
  const { value } = await stream.next();
  expect(new Header(value as Buffer)).toMatchObject({ path: "huge", size: sizeBytes, uid: 0 });
});

test("content of another size than announced ends the stream with an error", async () => {
  const content = (): Buffer[] => [Buffer.from("four")];
  const read = async (sizeBytes: number): Promise<number> => {
    let total = 0;
    const item = { path: "x", mode: 0o644, sizeBytes, content };
    for await (const chunk of tarStream([item], EPOCH)) total += chunk.length;
    return total;
  };
  expect(await read(4)).toBe(4 * 512);
  await expect(read(3)).rejects.toThrow(RangeError);
  await expect(read(5)).rejects.toThrow(RangeError);
});
