import { execFileSync, spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { cli } from "../../../../helpers/cli.js";

const script = async (shell: string): Promise<string> => (await cli(["completion", shell])).stdout;

/** What a shell offers for the last word. */
type Complete = (...words: string[]) => Promise<string[]>;

const inBash: Complete = async (...words) => {
  const line = `COMP_WORDS=(msb-ts "$@"); COMP_CWORD=$#; _msb_ts; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const program = `${await script("bash")}\n${line}`;
  const text = execFileSync("bash", ["-c", program, "bash", ...words], { encoding: "utf8" });
  return text.split("\n").filter((word) => word !== "");
};

const hasFish = spawnSync("fish", ["--version"]).status === 0;
const inFish: Complete = async (...words) => {
  const line = ["msb-ts", ...words].map((word) => word || "''").join(" ");
  const ask = `complete -C '${line.replaceAll("'", "\\'").replace(/\\'\\'$/, "")}'`;
  const program = `${await script("fish")}\n${ask}`;
  const text = execFileSync("fish", ["--no-config", "-c", program], { encoding: "utf8" });
  return text.split("\n").flatMap((found) => (found === "" ? [] : [found.split("\t")[0]!]));
};

describe.each([["bash", inBash] as const, ...(hasFish ? [["fish", inFish] as const] : [])])(
  "completion in %s",
  (_shell, complete) => {
    it("offers commands", async () => {
      expect(await complete("")).toEqual(
        expect.arrayContaining(["run", "image", "server", "completion", "help"]),
      );
      expect(await complete("im")).toEqual(["image"]);
      expect(await complete("image", "p")).toEqual(["pull", "prune"]);
    });

    it("offers the options of the command, also behind other words, and of an alias", async () => {
      expect(await complete("image", "pull", "--pl")).toEqual(["--platform", "--plain-http"]);
      expect(await complete("run", "-m", "512m", "--hy")).toEqual(["--hypervisor"]);
      expect(await complete("image", "list", "--di")).toEqual(["--digests"]);
    });

    it("offers the values that an option may have", async () => {
      expect((await complete("run", "--hypervisor", "")).toSorted()).toEqual([
        "auto",
        "libkrun",
        "qemu",
      ]);
      expect(await complete("run", "--pull", "al")).toEqual(["always"]);
    });
  },
);

describe("completion in bash", () => {
  it("leaves files, and the words of another program, to the shell", async () => {
    expect(await inBash("image", "load", "")).toEqual([]);
    expect(await inBash("image", "load", "--name", "")).toEqual([]);
    expect(await inBash("run", "alpine", "--", "--me")).toEqual([]);
  });
});

describe("completion", () => {
  it.each(["bash", "zsh", "fish"])(
    "for %s is nothing but text, and knows no secrets",
    async (shell) => {
      const text = await script(shell);
      expect(text).toContain("hypervisor");
      // An option that is hidden from help is hidden here.
      expect(text).not.toContain("as-daemon");
      // oxlint-disable-next-line no-control-regex -- what terminals obey begins with one
      expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
    },
  );

  it.each(["zsh", "fish"].filter((shell) => spawnSync(shell, ["--version"]).status === 0))(
    "is a script that %s reads",
    async (shell) => {
      const check = spawnSync(shell, ["-n"], { input: await script(shell), encoding: "utf8" });
      expect(check).toMatchObject({ status: 0, stderr: "" });
    },
  );

  it("is a document with --json", async () => {
    const { stdout } = await cli(["completion", "bash", "--json"]);
    expect(JSON.parse(stdout)).toEqual({ shell: "bash", script: await script("bash") });
  });

  it("refuses a shell that it does not know", async () => {
    const { exitCode, stderr } = await cli(["completion", "tcsh"]);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("bash, zsh, fish")]);
  });
});
