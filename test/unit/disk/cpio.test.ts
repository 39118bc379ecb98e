import { expect, test } from "vitest";
import { encodeCpio } from "../../../src/disk/cpio.js";

test("an archive is its entries and a trailer, each padded, the whole to 512 bytes", () => {
  const archive = encodeCpio([
    { name: "dev", mode: 0o040755 },
    { name: "agent", mode: 0o100755, data: Buffer.from("12345") },
  ]);
  expect(archive).toHaveLength(512);
  const text = archive.toString("latin1");
  const zeros = (count: number): string => "0".repeat(8 * count);
  const header = (ino: number, mode: string, size: number, nameSize: number): string =>
    `0707010000000${ino}${mode}${zeros(2)}00000001${zeros(1)}0000000${size}${zeros(4)}0000000${nameSize}${zeros(1)}`;
  expect(text.slice(0, 116)).toBe(`${header(1, "000041ed", 0, 4)}dev\0\0\0`);
  expect(text.slice(116, 240)).toBe(`${header(2, "000081ed", 5, 6)}agent\x0012345\0\0\0`);
  expect(text.slice(240, 350)).toBe(
    header(0, "00000000", 0, 0xb).replace("0000000" + 11, "0000000b"),
  );
  expect(text.slice(350)).toBe("TRAILER!!!".padEnd(162, "\0"));
});
