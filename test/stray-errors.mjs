/**
 * A reporter for vitest that writes errors which belong to no test (of a callback that nobody waits for) to the file
 * MSB_STRAY_ERRORS names, as a list of texts: the JSON report has nothing of them.
 */
import { writeFileSync } from "node:fs";

export default class StrayErrors {
  onTestRunEnd(_modules, errors) {
    const file = process.env.MSB_STRAY_ERRORS;
    if (file === undefined || errors.length === 0) return;
    writeFileSync(file, JSON.stringify(errors.map(textOf)));
  }
}

function textOf(error) {
  const test = error.VITEST_TEST_NAME ?? error.VITEST_TEST_PATH ?? "no test";
  return `an error outside of tests, near ${test}:\n${error.stack ?? error.message ?? String(error)}`;
}
