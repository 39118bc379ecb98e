import { expect, test } from "vitest";
import { LinkedAbort } from "../../../src/util/linked-abort.js";

test("it aborts with the first of its signals, for that one's reason", () => {
  const [a, b] = [new AbortController(), new AbortController()];
  using linked = new LinkedAbort(a.signal, undefined, b.signal);
  expect(linked.signal.aborted).toBe(false);
  b.abort("b");
  a.abort("a");
  expect(linked.signal.reason).toBe("b");
  expect(new LinkedAbort(a.signal).signal.reason).toBe("a");
});

test("it aborts alone, and not any more when it is let go", () => {
  const a = new AbortController();
  const linked = new LinkedAbort(a.signal);
  linked.abort("mine");
  expect(linked.signal.reason).toBe("mine");
  expect(a.signal.aborted).toBe(false);
  const gone = new LinkedAbort(a.signal);
  gone[Symbol.dispose]();
  a.abort();
  expect(gone.signal.aborted).toBe(false);
});
