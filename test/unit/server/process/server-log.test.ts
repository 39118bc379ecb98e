import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { MsbError } from "../../../../src/errors.js";
import { readLog } from "../../../../src/server/process/log-files.js";
import { readableLine } from "../../../../src/server/process/log-line.js";
import { RotatingFile } from "../../../../src/server/process/rotating-file.js";
import { openServerLog } from "../../../../src/server/process/server-log.js";
import { tempDir } from "../../../helpers/temp-dir.js";

function logTo(format: "json" | "lines") {
  const chunks: string[] = [];
  const target = { write: (text: string) => void chunks.push(text) };
  return { log: openServerLog({ level: "info", format, target }), text: () => chunks.join("") };
}

const JWT = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsImlhdCI6MTc1.Vca9Ei70b";

describe("the log of a server", () => {
  it("is JSON with the level and the time as words", () => {
    const { log, text } = logTo("json");
    log.debug("not this");
    log.warn({ port: 1 }, "this");
    const entry = JSON.parse(text());
    expect(entry).toEqual({ level: "warn", time: expect.any(String), port: 1, msg: "this" });
    expect(Date.parse(entry.time)).toBeGreaterThan(0);
  });

  it("is a line for people", () => {
    const { log, text } = logTo("lines");
    log.info({ a: 1, b: "two words", c: "one" }, "hello");
    expect(text()).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}hello a=1 b="two words" c=one\n$/);
  });

  it.each(["json", "lines"] as const)("in %s has no secrets", (format) => {
    const { log, text } = logTo(format);
    log.info({ authorization: "s3cret", req: { token: "s3cret" } });
    log.info({ headers: { authorization: "s3cret", "proxy-authorization": "s3cret" } });
    log.info(`called with Bearer s3cret-s3cret and msb_${JWT}`);
    log.info({ url: "http://user:s3cret@proxy.example/x" });
    log.error(new Error(`the key ${JWT} is bad`));
    expect(text()).not.toContain("s3cret");
    expect(text()).not.toContain("eyJ");
    expect(text().match(/redacted/g)!.length).toBeGreaterThanOrEqual(7);
  });

  it.each(["eyJ", "msb_eyJ-", "msb_", "Bearer ", "://", "a@"])(
    "is not held up by a text of many %s",
    (part) => {
      const { log, text } = logTo("json");
      const start = performance.now();
      log.info(part.repeat(1_000_000 / part.length));
      expect(performance.now() - start).toBeLessThan(5_000);
      expect(text().length).toBeGreaterThan(0);
    },
  );

  it("shows the stack of an error that nobody foresaw, and only of that", () => {
    const { log, text } = logTo("lines");
    log.error({ err: new TypeError("oops") }, "Failed");
    log.error({ err: new MsbError("MSB_ERR_NO_SPACE", "Full.") }, "Failed");
    expect(text()).toMatch(/ERROR Failed oops\n {4}at .*\n/);
    expect(text()).toMatch(/ERROR Failed Full\. \(MSB_ERR_NO_SPACE\)\n$/);
  });

  it("is safe to print, also where it is no JSON", () => {
    expect(readableLine("\u001b]0;x\u0007 plain")).toBe("\ufffd]0;x\ufffd plain");
    expect(readableLine('{"level":"info","time":"x","msg":"\\u001b[2J"}')).toBe(
      "- INFO  \ufffd[2J",
    );
    expect(readableLine("[1]")).toBe("[1]");
  });
});

describe("a log file", () => {
  const pathsIn = (dir: string) => (generation: number) => join(dir, `log.${generation}`);

  it("is rotated before it is too large, and never has more files than it may", async () => {
    const dir = await tempDir();
    const path = pathsIn(dir);
    const file = new RotatingFile({ path, maxBytes: 20, files: 3 });
    for (let line = 0; line < 9; line++) file.write(`line ${line}..\n`);
    file.close();
    expect((await readdir(dir)).toSorted()).toEqual(["log.0", "log.1", "log.2"]);
    expect(await readFile(path(0), "utf8")).toBe("line 8..\n");
    expect(await readFile(path(1), "utf8")).toBe("line 6..\nline 7..\n");
    expect(await readFile(path(2), "utf8")).toBe("line 4..\nline 5..\n");
  });

  it("is added to, and counts what is there", async () => {
    const path = pathsIn(await tempDir());
    await writeFile(path(0), "before\n");
    const file = new RotatingFile({ path, maxBytes: 10 });
    file.write("after\n");
    file.close();
    expect(await readFile(path(1), "utf8")).toBe("before\n");
    expect(await readFile(path(0), "utf8")).toBe("after\n");
  });

  it("takes a line that is longer than it may be", async () => {
    const path = pathsIn(await tempDir());
    const file = new RotatingFile({ path, maxBytes: 4 });
    file.write("longer\n");
    file.close();
    expect(await readFile(path(0), "utf8")).toBe("longer\n");
  });

  it("that cannot be written does not end the server, and tells later what is missing", async () => {
    const dir = await tempDir();
    const path = pathsIn(dir);
    const file = new RotatingFile({ path, maxBytes: 10, files: 2 });
    file.write("12345678\n");
    // No file can take the place of a folder.
    await mkdir(join(path(1), "x"), { recursive: true });
    file.write("lost\n");
    file.write("lost\n");
    await rm(path(1), { recursive: true });
    file.write("kept\n");
    file.close();
    const text = await readFile(path(0), "utf8");
    expect(text).not.toContain("lost\n");
    expect(text).toMatch(/"msg":"Lines of this log were lost","count":2\}\nkept\n$/);
  });

  it("in a folder that is not there is an error that says so", async () => {
    const path = pathsIn(join(await tempDir(), "missing"));
    expect(() => new RotatingFile({ path })).toThrow(
      expect.objectContaining({ code: "MSB_ERR_HOME_UNUSABLE" }),
    );
  });
});

describe("reading a log", () => {
  const never = new AbortController().signal;
  const path = (dir: string) => (generation: number) => join(dir, `log.${generation}`);
  async function all(lines: AsyncIterable<string>): Promise<string[]> {
    const found: string[] = [];
    for await (const line of lines) found.push(line);
    return found;
  }

  it("gives the last lines, over several files", async () => {
    const dir = await tempDir();
    await writeFile(path(dir)(2), "1\n2\n");
    await writeFile(path(dir)(1), "3\n4\n");
    await writeFile(path(dir)(0), "5\n6\n");
    const last = (lines: number) => all(readLog({ path: path(dir), lines, signal: never }));
    expect(await last(0)).toEqual([]);
    expect(await last(1)).toEqual(["6"]);
    expect(await last(3)).toEqual(["4", "5", "6"]);
    expect(await last(100)).toEqual(["1", "2", "3", "4", "5", "6"]);
  });

  it("of nothing gives nothing", async () => {
    const lines = readLog({ path: path(await tempDir()), lines: 10, signal: never });
    expect(await all(lines)).toEqual([]);
  });

  it("follows what comes, across rotations and from before there is a file", async () => {
    const dir = await tempDir();
    const stop = new AbortController();
    const lines = readLog({ path: path(dir), lines: 10, follow: true, signal: stop.signal });
    const first = lines.next();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const file = new RotatingFile({ path: path(dir), maxBytes: 40 });
    file.write("line 0\n");
    expect((await first).value).toBe("line 0");
    for (let number = 1; number < 30; number++) {
      file.write(`line ${number}\n`);
      expect((await lines.next()).value).toBe(`line ${number}`);
    }
    file.close();
    const end = lines.next();
    stop.abort();
    expect((await end).done).toBe(true);
  });

  it.each([
    [2, "nothing", []],
    [4, "what no file has any more", [14, 15, 16, 17]],
  ])("follows after %i rotations at once and misses %s", async (rotations, _what, missed) => {
    const dir = await tempDir();
    const stop = new AbortController();
    // Four lines go into a file: 10 to 13 into the first one.
    const file = new RotatingFile({ path: path(dir), maxBytes: 4 * "line 10\n".length, files: 3 });
    file.write("line 10\n");
    const lines = readLog({ path: path(dir), lines: 10, follow: true, signal: stop.signal });
    expect((await lines.next()).value).toBe("line 10");
    const numbers = Array.from({ length: 4 * rotations }, (_, index) => 11 + index);
    for (const number of numbers) file.write(`line ${number}\n`);
    file.close();
    for (const number of numbers.filter((one) => !missed.some((gone) => gone === one))) {
      expect((await lines.next()).value).toBe(`line ${number}`);
    }
    stop.abort();
    expect((await lines.next()).done).toBe(true);
  });

  it("that cannot be read is an error that names it", async () => {
    const dir = await tempDir();
    await mkdir(path(dir)(0));
    await expect(all(readLog({ path: path(dir), lines: 1, signal: never }))).rejects.toMatchObject({
      code: "MSB_ERR_HOME_UNUSABLE",
      message: expect.stringContaining(path(dir)(0)),
    });
  });
});
