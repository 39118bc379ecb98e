/** `npm run docs`: writes docs/cli.md and docs/api.md from the commands and the server as they were built. */
import { mkdirSync, writeFileSync } from "node:fs";
import pino from "pino";
import { buildProgram } from "../dist/cli/program.js";
import { cliReference } from "../dist/cli/reference.js";
import { buildApp } from "../dist/server/app.js";
import { apiReference } from "./api-reference.mjs";

const docs = new URL("../docs/", import.meta.url);
mkdirSync(docs, { recursive: true });

const { stdout, stderr } = process;
writeFileSync(new URL("cli.md", docs), cliReference(buildProgram({ stdout, stderr })));

// It describes itself without doing anything, so nothing is behind it.
const app = await buildApp({
  sandboxes: {},
  images: {},
  hypervisor: async () => ({}),
  authenticator: null,
  config: { maxBodyBytes: 1, maxOutputBytes: 1, allowedHosts: [], corsOrigins: [] },
  logger: pino({ level: "silent" }),
  version: "",
});
await app.ready();
writeFileSync(new URL("api.md", docs), apiReference(app.swagger()));
await app.close();
