import { expect, test } from "vitest";
import { redactText, redactUrl } from "../../../../src/oci/registry/redact.js";

test.each([
  ["https://host:5000/v2/a/blobs/x", "https://host:5000/v2/a/blobs/x"],
  ["https://user:pw@host/a?X-Signature=s3cret#frag", "https://host/a?…"],
  ["https://host/a?", "https://host/a"],
  [`https://host/${"a".repeat(1000)}`, `https://host/${"a".repeat(487)}`],
])("of %s is shown %s", (url, shown) => expect(redactUrl(new URL(url))).toBe(shown));

test("secrets are blackened wherever they stand, the longest first", () => {
  const secrets = ["hunter2", "hunter2-long", "abc"];
  expect(redactText("hunter2-long hunter2 hunter2 abc", secrets, 100)).toBe("*** *** *** abc");
});

test("what is cut is cut after it was blackened", () => {
  expect(redactText(`12345678 s3cret-value`, ["s3cret-value"], 12)).toBe("12345678 ***");
});

test("a secret is no pattern", () => {
  expect(redactText("a$&b .*+? a$&b", ["a$&b", ".*+?"], 100)).toBe("*** *** ***");
});

test("control characters do not reach a terminal", () => {
  expect(redactText("a\u001b[2Jb", [], 100)).toBe("a\ufffd[2Jb");
});
