import { describe, expect, it } from "vitest";
import { LiveScreen } from "../../../src/cli/live-screen.js";
import { keptStream } from "../../helpers/cli.js";

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

describe("a live screen", () => {
  it("is entered with the first drawing, drawn over, and left once", () => {
    const stream = keptStream({ isTerminal: true });
    const screen = new LiveScreen(stream);
    expect(stream.text()).toBe("");
    screen.draw(["one", "two"]);
    screen.draw(["three"]);
    screen[Symbol.dispose]();
    screen[Symbol.dispose]();
    screen.draw(["late"]);
    expect(stream.text()).toBe(
      `${ENTER}\u001b[Hone\u001b[K\r\ntwo\u001b[K\u001b[J\u001b[Hthree\u001b[K\u001b[J${LEAVE}`,
    );
  });

  it("cuts off what does not fit", () => {
    const stream = keptStream({ isTerminal: true, rows: 3 });
    using screen = new LiveScreen(stream);
    screen.draw(["x".repeat(200), "two", "three"]);
    expect(stream.text()).toBe(`${ENTER}\u001b[H${"x".repeat(79)}\u001b[K\r\ntwo\u001b[K\u001b[J`);
  });

  it("that was never drawn leaves nothing", () => {
    const stream = keptStream({ isTerminal: true });
    new LiveScreen(stream)[Symbol.dispose]();
    expect(stream.text()).toBe("");
  });
});
