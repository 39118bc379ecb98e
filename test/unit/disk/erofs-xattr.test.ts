import { expect, test } from "vitest";
import { encodeXattrs, isStorableXattr, xattrCount } from "../../../src/disk/erofs-xattr.js";

test.each([
  ["user.a", true],
  ["trusted.b", true],
  ["security.capability", true],
  ["system.posix_acl_access", true],
  ["user.", false],
  ["system.other", false],
  ["system.posix_acl_accessx", false],
  ["odd", false],
  ["trusted.overlay.x", false],
])("can %s be stored: %s", (name, isStorable) => {
  expect(isStorableXattr(name)).toBe(isStorable);
});

test("entries are sorted, aligned and counted in words", () => {
  const bytes = encodeXattrs(
    new Map([
      ["user.bb", "12345"],
      ["security.x", "\xff\0"],
    ]),
  );
  const [first, second] = [bytes.subarray(12, 20), bytes.subarray(20)];
  expect([...first]).toEqual([1, 6, 2, 0, 0x78, 0xff, 0, 0]);
  expect([...second]).toEqual([2, 1, 5, 0, ...Buffer.from("bb12345"), 0]);
  expect(xattrCount(bytes.length)).toBe(1 + (bytes.length - 12) / 4);
  expect(xattrCount(0)).toBe(0);
  expect(encodeXattrs(new Map())).toHaveLength(0);
});

test("an ACL is all prefix", () => {
  const bytes = encodeXattrs(new Map([["system.posix_acl_default", "acl!"]]));
  expect([...bytes.subarray(12)]).toEqual([0, 3, 4, 0, ...Buffer.from("acl!")]);
});
