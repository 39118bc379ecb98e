/** The part of @npmcli/config that is used here; the package has no types of its own. */
declare module "@npmcli/config" {
  export default class Config {
    constructor(opts: {
      definitions: unknown;
      shorthands: unknown;
      flatten: unknown;
      nerfDarts: unknown;
      npmPath: string;
      argv: readonly string[];
      env: Record<string, string | undefined>;
      cwd: string;
      warn: boolean;
    });
    load(): Promise<void>;
    /** Options as npm's own libraries take them. */
    readonly flat: Record<string, unknown>;
  }
}

declare module "@npmcli/config/lib/definitions/index.js" {
  const all: { definitions: unknown; shorthands: unknown; flatten: unknown; nerfDarts: unknown };
  export default all;
}
