import { describe, expect, it } from "vitest";
import { stopReason } from "../../../src/cli/error-report.js";
import { ERROR_CODES, type ErrorCode, MsbError } from "../../../src/errors.js";
import { cli } from "../../helpers/cli.js";
import { FakeImages } from "../../helpers/fake-images.js";

function failing(error: unknown): FakeImages {
  const images = new FakeImages();
  images.before["list"] = () => Promise.reject(error);
  return images;
}

describe("an error of a command", () => {
  const error = new MsbError("MSB_ERR_REGISTRY_AUTH", "Log in first.", {
    details: { registry: "r.example" },
  });

  it("is a line on stderr with its code, and its exit code", async () => {
    const { exitCode, stdout, stderr } = await cli(["image", "ls"], { images: failing(error) });
    expect(stderr).toBe("msb-ts: Log in first. (MSB_ERR_REGISTRY_AUTH)\n");
    expect(stdout).toBe("");
    expect(exitCode).toBe(77);
  });

  it("is a JSON document on stderr with --json", async () => {
    const { exitCode, stdout, stderr } = await cli(["image", "ls", "--json"], {
      images: failing(error),
    });
    expect(JSON.parse(stderr)).toEqual({
      error: {
        code: "MSB_ERR_REGISTRY_AUTH",
        message: "Log in first.",
        details: { registry: "r.example" },
      },
    });
    expect(stdout).toBe("");
    expect(exitCode).toBe(77);
  });

  it("closes the images", async () => {
    const { images } = await cli(["image", "ls"], { images: failing(error) });
    expect(images.isClosed).toBe(true);
  });

  it.each(Object.keys(ERROR_CODES) as ErrorCode[])("%s exits as its table says", async (code) => {
    const images = failing(new MsbError(code, "x"));
    const { exitCode } = await cli(["image", "ls"], { images });
    expect(exitCode).toBe(ERROR_CODES[code].exitCode);
    expect(exitCode).toBeGreaterThan(0);
  });

  it("is safe to print, and its code stands on a line of its own after several lines", async () => {
    const images = failing(new MsbError("MSB_ERR_RECIPE_FAILED", "a\u001b]0;x\u0007\nb\n"));
    const { stderr } = await cli(["image", "ls"], { images });
    expect(stderr).toBe("msb-ts: a�]0;x�\nb\n(MSB_ERR_RECIPE_FAILED)\n");
  });

  it("that is none of ours is an internal one, without a stack", async () => {
    const { exitCode, stderr } = await cli(["image", "ls"], {
      images: failing(new TypeError("x is not a function")),
    });
    expect(stderr).toContain("x is not a function. This is a bug of msb-ts");
    expect(stderr).toContain("(MSB_ERR_INTERNAL)");
    expect(stderr).not.toContain(" at ");
    expect(exitCode).toBe(70);
  });

  it("has a stack with MSB_DEBUG=1, also in JSON", async () => {
    const env = { MSB_DEBUG: "1" };
    const images = failing(new TypeError("x is not a function"));
    const text = await cli(["image", "ls"], { images, env });
    expect(text.stderr).toMatch(/TypeError: x is not a function\n\s+at /);
    const json = await cli(["image", "ls", "--json"], { images, env });
    expect(JSON.parse(json.stderr).error.stack).toContain("TypeError: x is not a function");
  });

  it("from opening the images is reported as any other", async () => {
    const openError = new MsbError("MSB_ERR_ADDON_MISSING", "Build it.");
    const { exitCode, stderr } = await cli(["image", "ls"], { openError });
    expect(stderr).toBe("msb-ts: Build it. (MSB_ERR_ADDON_MISSING)\n");
    expect(exitCode).toBe(69);
  });

  it("from closing the images is reported after the command's own", async () => {
    const images = failing(error);
    images[Symbol.asyncDispose] = () => Promise.reject(new MsbError("MSB_ERR_NO_SPACE", "Full."));
    const { exitCode, stderr } = await cli(["image", "ls"], { images });
    expect(stderr.trimEnd().split("\n")).toEqual([
      "msb-ts: Log in first. (MSB_ERR_REGISTRY_AUTH)",
      "msb-ts: Full. (MSB_ERR_NO_SPACE)",
    ]);
    expect(exitCode).toBe(77);
  });

  it("that wraps several is one of them only when it is ours", async () => {
    const images = failing(new AggregateError([new Error("ipv4"), new Error("ipv6")], "connect"));
    const { stderr } = await cli(["image", "ls"], { images });
    expect(stderr.match(/^msb-ts: /gm)).toHaveLength(1);
  });
});

describe("a warning", () => {
  const warnings = ["The tag x\u0007 is broken."];

  it("is a line on stderr after the result, and no failure", async () => {
    const { exitCode, stdout, stderr } = await cli(["image", "ls", "-q"], { warnings });
    expect(stdout).toBe("aaaaaaaaaaaa\n");
    expect(stderr).toBe("msb-ts: warning: The tag x� is broken.\n");
    expect(exitCode).toBe(0);
  });

  it("is a JSON document with --json", async () => {
    const { stderr } = await cli(["image", "ls", "--json"], { warnings });
    expect(JSON.parse(stderr)).toEqual({ warning: { message: "The tag x� is broken." } });
  });
});

describe("wrong words", () => {
  it.each([
    [[], "A command is missing. (MSB_ERR_INVALID_ARGUMENT)\nTry: msb-ts --help\n"],
    [["image"], "A command is missing. (MSB_ERR_INVALID_ARGUMENT)\nTry: msb-ts image --help\n"],
    [["imgae"], "Unknown command 'imgae'. Did you mean image?"],
    [["zzz"], "Unknown command 'zzz'. (MSB_ERR_INVALID_ARGUMENT)\nTry: msb-ts --help\n"],
    [["pull", "x"], "Unknown command 'pull'. Did you mean msb-ts image pull?"],
    [["version"], "Unknown command 'version'. Did you mean msb-ts --version?"],
    [["list"], "Unknown command 'list'. Did you mean msb-ts image ls?"],
    [["image", "pul"], "Unknown command 'pul'. Did you mean pull?"],
    [["image", "pull"], "Missing required argument 'name'."],
    [
      ["image", "pull", "x", "--plan-http"],
      "Unknown option '--plan-http'. Did you mean --plain-http?",
    ],
    [["image", "pull", "x", "--platform"], "Option '--platform <os/arch>' argument missing."],
    [["image", "ls", "x"], "Too many arguments for 'ls'."],
    [
      ["image", "save", "x", "--format", "zip"],
      "Option '--format <format>' argument 'zip' is invalid. Allowed choices are oci, docker, oci-dir.",
    ],
    [["image", "ls", "--filter", "size=1"], '--filter cannot be "size=1": use reference=PATTERN'],
    [["image", "tag", "\u001b[2Jx"], "Missing required argument 'target'."],
    [["\u001b[2J"], "Unknown command '�[2J'."],
    [["help", "image", "nosuch"], "Unknown command 'nosuch'."],
  ])("%j", async (args, message) => {
    const { exitCode, stdout, stderr, images } = await cli(args);
    expect(stderr).toContain(`msb-ts: ${message}`);
    expect(stderr).toMatch(/\nTry: msb-ts( \w+)* --help\n$/);
    expect(stdout).toBe("");
    expect(exitCode).toBe(2);
    expect(images.calls).toEqual([]);
  });

  it("are one JSON document with --json", async () => {
    const { exitCode, stderr } = await cli(["image", "rm", "--json"]);
    expect(JSON.parse(stderr)).toEqual({
      error: {
        code: "MSB_ERR_INVALID_ARGUMENT",
        message: "Missing required argument 'name'.",
        details: { help: "msb-ts image rm --help" },
      },
    });
    expect(exitCode).toBe(2);
  });

  it("after -- do not ask for JSON", async () => {
    const { stderr } = await cli(["image", "tag", "--", "--json"]);
    expect(stderr).toMatch(/^msb-ts: Missing required argument 'target'/);
  });
});

describe("a command that is stopped", () => {
  function stopped(
    signal: NodeJS.Signals,
    error?: unknown,
  ): { images: FakeImages; signal: AbortSignal } {
    const stop = new AbortController();
    const images = new FakeImages();
    images.before["list"] = async () => {
      stop.abort(stopReason(signal));
      if (error !== undefined) throw error;
    };
    return { images, signal: stop.signal };
  }

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("by %s exits with %i, whatever its work makes of it", async (signal, code) => {
    for (const error of [new DOMException("aborted", "AbortError"), stopReason(signal)]) {
      const { exitCode, stderr } = await cli(["image", "ls"], stopped(signal, error));
      expect(stderr).toBe(`msb-ts: Stopped by ${signal}. (MSB_ERR_ABORTED)\n`);
      expect(exitCode).toBe(code);
    }
    const { exitCode, stderr } = await cli(["image", "ls"], stopped(signal));
    expect(stderr).toBe("");
    expect(exitCode).toBe(code);
  });

  it("still tells what its clean-up failed at", async () => {
    const failed = new MsbError("MSB_ERR_NO_SPACE", "Full.");
    const { exitCode, stderr } = await cli(["image", "ls"], stopped("SIGINT", failed));
    expect(stderr).toBe("msb-ts: Full. (MSB_ERR_NO_SPACE)\n");
    expect(exitCode).toBe(130);
  });

  it("because nobody reads on says nothing", async () => {
    const { exitCode, stderr } = await cli(["image", "ls"], stopped("SIGPIPE", new Error("EPIPE")));
    expect(stderr).toBe("");
    expect(exitCode).toBe(141);
  });

  it("because its output cannot be written says so, although its work succeeded", async () => {
    const stop = new AbortController();
    stop.abort(new MsbError("MSB_ERR_NO_SPACE", "Standard output is full."));
    const { exitCode, stderr } = await cli(["image", "ls"], { signal: stop.signal });
    expect(stderr).toBe("msb-ts: Standard output is full. (MSB_ERR_NO_SPACE)\n");
    expect(exitCode).toBe(73);
  });
});
