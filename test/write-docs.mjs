/** `npm run docs`: writes docs/cli.md from the commands as they were built. */
import { mkdirSync, writeFileSync } from "node:fs";
import { buildProgram } from "../dist/cli/program.js";
import { cliReference } from "../dist/cli/reference.js";

const page = new URL("../docs/cli.md", import.meta.url);
mkdirSync(new URL(".", page), { recursive: true });
const { stdout, stderr } = process;
writeFileSync(page, cliReference(buildProgram({ stdout, stderr })));
