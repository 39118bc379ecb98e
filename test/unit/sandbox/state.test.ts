import { expect, test } from "vitest";
import { SANDBOX_STATES } from "../../../src/sandbox/service.js";
import { canFollow, checkChange, isActive } from "../../../src/sandbox/state.js";

test("a state follows another as the life of a sandbox has it, and no other way", () => {
  const table = SANDBOX_STATES.map((from) =>
    [from, ...SANDBOX_STATES.filter((to) => canFollow(from, to))].join(" "),
  );
  expect(table).toEqual([
    "creating booting stopped failed",
    "booting running stopping failed",
    "running stopping stopped failed",
    "stopping stopped failed",
    "stopped creating",
    "failed creating",
  ]);
  expect(() => checkChange("stopped", "running")).toThrow("that is stopped cannot become running");
});

test("what may have a VM counts as active", () => {
  expect(SANDBOX_STATES.filter(isActive)).toEqual(["creating", "booting", "running", "stopping"]);
});
