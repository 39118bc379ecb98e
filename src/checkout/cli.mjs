/** The built command line. */
import { join } from "node:path";
import { project } from "./prepare.mjs";

export const CLI = join(project, "dist/cli/main.js");
