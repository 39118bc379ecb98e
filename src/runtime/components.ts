/**
 * What `setup` brings: pinned by version and by sha512, twice: the npm tarball and the one file taken out of it.
 * Nothing of it is part of this package or redistributed by it. Licences: libkrun is Apache-2.0; libkrunfw is
 * LGPL-2.1 (the library) around GPL-2.0 (the Linux kernel in it).
 */

export type ComponentName = "libkrun" | "libkrunfw";

/** Which variable names a library of the user's own. */
export const LIBRARY_VARIABLES = {
  libkrun: "MSB_LIBKRUN_PATH",
  libkrunfw: "MSB_LIBKRUNFW_PATH",
} as const satisfies Record<ComponentName, string>;

export interface ComponentPin {
  readonly name: ComponentName;
  /** The component's own version, for people. */
  readonly version: string;
  /** npm package and exact version. */
  readonly package: string;
  readonly packageVersion: string;
  /** npm's integrity of the tarball, and its size. */
  readonly integrity: string;
  readonly tarballBytes: number;
  /** The one file taken out of the tarball. */
  readonly member: string;
  readonly memberBytes: number;
  readonly memberSha512: string;
  /** Its name among our files. */
  readonly fileName: string;
}

/** A platform's components; `libkrun` is absent where nobody publishes it. */
export interface PlatformPins {
  /** Folder under MSB_HOME/runtime; changes with every pin. */
  readonly folder: string;
  readonly libkrun: ComponentPin | null;
  readonly libkrunfw: ComponentPin;
}

export const PINNED_PLATFORMS: Readonly<Record<string, PlatformPins>> = {
  "linux-x64": {
    folder: "linux-x64-krun1.17.4-fw0.6.18",
    libkrun: {
      name: "libkrun",
      version: "1.17.4",
      package: "@earendil-works/gondolin-krun-runner-linux-x64",
      packageVersion: "0.12.0",
      integrity:
        "sha512-RRYsgwe2r5ApKmFNy469QgwnyjAHpAs9XANdWpTd9ol4iUYOY3sX7e0xIooAKxd+ktxGI4N/xRWicwGen3D/Ow==",
      tarballBytes: 8_037_050,
      member: "package/lib/libkrun.so.1.17.4",
      memberBytes: 5_480_872,
      memberSha512:
        "2w/swySmFrgihpwrneppBZBlXrb66qkhW7Maz5iM9kpOzv6b4jCF7bz4JAhXfTGxcDAh3e+mCD+pQSxQNtWc8Q==",
      fileName: "libkrun.so.1",
    },
    libkrunfw: {
      name: "libkrunfw",
      version: "5.6.1 (Linux 6.12.99)",
      package: "@superradcompany/microsandbox-linux-x64-gnu",
      packageVersion: "0.6.18",
      integrity:
        "sha512-b9Mu+tu1Vq407c8sr7scNOxBgGpJX/Znd4NGFQ/Dx44SS6bHU3pjUEAdso3IpEB2Cx9nrGIBtBdaRrVw1ro+6w==",
      tarballBytes: 36_232_985,
      member: "package/lib/libkrunfw.so.5.6.1",
      memberBytes: 21_628_880,
      memberSha512:
        "IneZ1hjlhv6RqpMee72K+ok0QcfY0Cc2rNw8aizRnAvPbFC9KFdeFHMe1Hj4KTBsPseAdtNlqVQsP+nj5zufjg==",
      fileName: "libkrunfw.so.5",
    },
  },
  // Apple and Arm pins are checked against the registry; no VM of theirs has been run.
  "darwin-arm64": {
    folder: "darwin-arm64-krun1.17.4-fw0.6.8",
    libkrun: {
      name: "libkrun",
      version: "1.17.4",
      package: "@earendil-works/gondolin-krun-runner-darwin-arm64",
      packageVersion: "0.12.0",
      integrity:
        "sha512-ftDlusht4PcT7Y3TuPrZIKrCXy3isiBTVMvlXYK0pcud2uXY6uwFTGeunYgP+8ND/60ddb+MImqbfmkcK8B84A==",
      tarballBytes: 6_050_060,
      member: "package/lib/libkrun.1.17.4.dylib",
      memberBytes: 4_386_616,
      memberSha512:
        "ZHVyD50Xi5NQlZkaYBP/NRoB6do/CgWnJoCOEsbFeCJv7CqgUtlWCYWf0UkRJhe/K/yqoIWPk0IXPTmfGMY9hQ==",
      fileName: "libkrun.1.dylib",
    },
    libkrunfw: {
      name: "libkrunfw",
      version: "5 (Linux 6.12.98)",
      package: "@superradcompany/microsandbox-darwin-arm64",
      packageVersion: "0.6.8",
      integrity:
        "sha512-SbPo2mb5sEWY7Sry9lxlh762oX5G4RI4Xq2i6U9covTe+4MIFznNSCPIntoCcpzVwt4VNIukvEdyTsI9kITJLw==",
      tarballBytes: 35_171_624,
      member: "package/lib/libkrunfw.5.dylib",
      memberBytes: 24_801_440,
      memberSha512:
        "t+YK5ZS9kJ5rCL03//+3AK8ca/It4YYeu2nxugCLn7N6sZt/lAYx4PjgdAU4rcvhgwlmNorH+5bgf51ziD69AQ==",
      fileName: "libkrunfw.5.dylib",
    },
  },
  "linux-arm64": {
    folder: "linux-arm64-fw0.6.8",
    libkrun: null,
    libkrunfw: {
      name: "libkrunfw",
      version: "5.6.1 (Linux 6.12.98)",
      package: "@superradcompany/microsandbox-linux-arm64-gnu",
      packageVersion: "0.6.8",
      integrity:
        "sha512-cMgS/pE6N2LTbdGYMNiSzfxlsD0F1fhVuCFuIULxGfGyK+zmrYHgTgV0K6n9UQY+PjseOvNn//T7FJQ7SwyJ3g==",
      tarballBytes: 36_972_941,
      member: "package/lib/libkrunfw.so.5.6.1",
      memberBytes: 24_774_248,
      memberSha512:
        "iD6whCOniWWYusbu6nMsT8n0sPwybzOBgWrXWHgX893MZkoF7LWCLMEsmvjfECM64lBhaS0CtB96RJklS9UzZQ==",
      fileName: "libkrunfw.so.5",
    },
  },
};

/** Facts about x86-64 kernels that cannot be read off the image, by the sha512 of their libkrunfw. */
export const KERNEL_ENTRY_POINTS: Readonly<Record<string, { load: number; entry64: number }>> = {
  // libkrunfw 5.6.1, Linux 6.12.99
  "IneZ1hjlhv6RqpMee72K+ok0QcfY0Cc2rNw8aizRnAvPbFC9KFdeFHMe1Hj4KTBsPseAdtNlqVQsP+nj5zufjg==": {
    load: 0x1000000,
    entry64: 0x1000123,
  },
};
