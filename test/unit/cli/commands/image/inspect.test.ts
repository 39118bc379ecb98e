import { describe, expect, it } from "vitest";
import { cli } from "../../../../helpers/cli.js";
import { digestOfDigit, fakeImage, FakeImages } from "../../../../helpers/fake-images.js";
import { controlsIn } from "../../../../helpers/screen.js";

describe("image inspect", () => {
  it("shows an image to people", async () => {
    const { exitCode, stdout } = await cli(["image", "inspect", "python"]);
    expect(stdout).toBe(
      `Names            python:3.12
Digest           ${digestOfDigit("a")}
Platform         linux/amd64
Created          2026-01-01T00:00:00Z (3 weeks ago)
Tagged           2026-01-21T00:00:00Z (1 day ago)
Size             30 MB
Disk             /home/user/.msb-ts/images/disks/k.erofs (81 MB)
User             root
Working folder   /
Entrypoint       -
Command          ["python3"]
Stop signal      -
Ports            8080/tcp
Environment      PATH=/usr/bin
                 LANG=C.UTF-8
Labels           team=blue
Layers
  ${digestOfDigit("1")}   30 MB   application/vnd.oci.image.layer.v1.tar+gzip
`,
    );
    expect(exitCode).toBe(0);
  });

  it("shows nothing of an image that a terminal would obey", async () => {
    const images = new FakeImages();
    const nasty = "\u001b]0;x\u0007\n\u009b2J";
    images.images = [
      fakeImage({
        createdAt: nasty,
        platform: { os: nasty, architecture: nasty },
        config: {
          user: nasty,
          env: [nasty],
          entrypoint: [nasty],
          cmd: [nasty],
          workingDir: nasty,
          labels: { [nasty]: nasty },
          exposedPorts: [nasty],
          stopSignal: nasty,
        },
      }),
    ];
    for (const args of [[], ["--json"]]) {
      const { stdout } = await cli(["image", "inspect", "python", ...args], { images });
      expect(controlsIn(stdout)).toEqual([]);
    }
  });

  it("prints a list with manifest and config with --json, also for one image", async () => {
    const { stdout } = await cli(["image", "inspect", "--json", "python"]);
    expect(JSON.parse(stdout)).toMatchObject([
      { ...fakeImage(), manifest: { schemaVersion: 2 }, rawConfig: { os: "linux" } },
    ]);
  });

  it("shows what it finds, and fails for what it does not", async () => {
    const { exitCode, stdout, stderr } = await cli([
      "image",
      "inspect",
      "--json",
      "nosuch",
      "python",
    ]);
    expect(JSON.parse(stdout)).toHaveLength(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { details: { name: "nosuch" } } });
    expect(exitCode).toBe(66);
  });
});
