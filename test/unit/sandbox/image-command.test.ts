import { describe, expect, it } from "vitest";
import { imageCommand } from "../../../src/sandbox/image-command.js";

const IMAGE = { entrypoint: ["/entry", "-x"], cmd: ["serve"] };

describe("what is run of an image", () => {
  it.each([
    ["entrypoint and command", IMAGE, {}, ["/entry", "-x", "serve"]],
    ["the entrypoint with other words", IMAGE, { command: ["a"] }, ["/entry", "-x", "a"]],
    ["no words are the same as none", IMAGE, { command: [] }, ["/entry", "-x", "serve"]],
    ["another entrypoint without the command", IMAGE, { entrypoint: ["sh"] }, ["sh"]],
    ["another entrypoint with words", IMAGE, { entrypoint: ["sh"], command: ["-c"] }, ["sh", "-c"]],
    ["words alone", IMAGE, { entrypoint: [], command: ["ls"] }, ["ls"]],
    ["the command", { entrypoint: [], cmd: ["python3"] }, {}, ["python3"]],
  ])("%s", (_what, image, asked, argv) => {
    expect(imageCommand("x", image, asked)).toEqual(argv);
  });

  it("must be something", () => {
    for (const [image, asked] of [
      [{ entrypoint: [], cmd: [] }, {}],
      [IMAGE, { entrypoint: [] }],
    ] as const) {
      expect(() => imageCommand("x\u001b", image, asked)).toThrow(
        "The image x\ufffd does not say what to run: name a command.",
      );
    }
  });
});
