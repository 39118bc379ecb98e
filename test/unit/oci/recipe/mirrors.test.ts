import { describe, expect, test } from "vitest";
import { recipeConfig } from "../../../../src/config.js";
import { mirrorsOf, parseIndexTargets } from "../../../../src/oci/recipe/mirrors.js";

const MIRROR = "http://mirror.example/debian";

describe("the mirror that is set", () => {
  test("serves a suite and its updates", () => {
    expect(mirrorsOf(MIRROR, "bookworm")).toEqual([
      `deb ${MIRROR} bookworm main`,
      `deb ${MIRROR} bookworm-updates main`,
    ]);
  });

  test("can be lines of sources.list", () => {
    const lines = [`deb [check-valid-until=no] ${MIRROR} bookworm main`, `deb ${MIRROR} x main`];
    expect(mirrorsOf(lines.join(" ; "), "bookworm")).toEqual(lines);
    expect(mirrorsOf(`${lines.join("\n")}\n`, "bookworm")).toEqual(lines);
  });

  test("is an option, else a variable, and must look like one", () => {
    expect(recipeConfig({}, {}).debianMirror).toBeNull();
    expect(recipeConfig({}, { MSB_DEBIAN_MIRROR: "" }).debianMirror).toBeNull();
    const env = { MSB_DEBIAN_MIRROR: MIRROR };
    expect(recipeConfig({}, env).debianMirror).toBe(MIRROR);
    expect(recipeConfig({ debianMirror: "https://other.example/" }, env).debianMirror).toBe(
      "https://other.example/",
    );
    expect(() => recipeConfig({}, { MSB_DEBIAN_MIRROR: "--customize-hook=reboot" })).toThrow(
      /MSB_DEBIAN_MIRROR/,
    );
  });
});

describe("the host's mirrors", () => {
  const suite = `Debian|bookworm|main|${MIRROR}/`;

  test("are those of Debian and of the suite", () => {
    const text = [
      suite,
      suite,
      `Debian|bookworm-security|main|${MIRROR}-security/`,
      `Debian|trixie|main|${MIRROR}/`,
      `Debian|bookworm|contrib|${MIRROR}/`,
      "Vendor|bookworm|main|http://vendor.example/",
      "$(ORIGIN)|bookworm-updates|main|http://unknown.example/",
    ].join("\n");
    expect(parseIndexTargets(text, "bookworm")).toEqual([
      `deb ${MIRROR}/ bookworm main`,
      `deb ${MIRROR}-security/ bookworm-security main`,
    ]);
  });

  test("never bring a password or a file of the host into an image", () => {
    const text = [
      "Debian|bookworm|main|http://user:secret@mirror.example/",
      "Debian|bookworm|main|file:/srv/debian",
    ].join("\n");
    expect(parseIndexTargets(text, "bookworm")).toEqual([]);
  });

  test("are of no use without the suite itself", () => {
    expect(parseIndexTargets(`Debian|bookworm-updates|main|${MIRROR}/`, "bookworm")).toEqual([]);
    expect(parseIndexTargets("", "bookworm")).toEqual([]);
  });
});
