import { expect, test } from "vitest";
import { deferred } from "../../../src/util/async.js";
import type { OnProgress, Progress } from "../../../src/util/progress.js";
import { SharedFlight } from "../../../src/util/shared-flight.js";

const progress = (id: string, doneBytes: number): Progress => ({
  id,
  label: id,
  state: "running",
  doneBytes,
  totalBytes: null,
});

test("callers share one run and hear of it, those who come later from where it is", async () => {
  const flights = new SharedFlight<string>();
  const end = deferred<string>();
  let tell: OnProgress = () => {};
  let runs = 0;
  const work = (_: AbortSignal, onProgress: OnProgress): Promise<string> => {
    runs++;
    tell = onProgress;
    onProgress(progress("a", 1));
    onProgress(progress("b", 1));
    onProgress(progress("a", 2));
    return end.promise;
  };
  const heard: number[][] = [[], []];
  const listen = (who: number) => (p: Progress) => void heard[who]!.push(p.doneBytes);
  const one = flights.run("k", { what: "Work", onProgress: listen(0) }, work);
  await Promise.resolve();
  const two = flights.run("k", { what: "Work", onProgress: listen(1) }, work);
  const three = flights.run("other", { what: "Work" }, async () => "other");
  tell(progress("a", 3));
  end.resolve("done");
  expect(await Promise.all([one, two, three])).toEqual(["done", "done", "other"]);
  expect(runs).toBe(1);
  expect(heard).toEqual([
    [1, 1, 2, 3],
    [2, 1, 3],
  ]);
  expect(await flights.run("k", { what: "Work" }, async () => "anew")).toBe("anew");
});

test("it is aborted when the last caller has gone, and who comes then begins anew", async () => {
  const flights = new SharedFlight<string>();
  const [first, second] = [new AbortController(), new AbortController()];
  let workSignal: AbortSignal | undefined;
  const hang = (signal: AbortSignal): Promise<string> => {
    workSignal = signal;
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(new Error("stopped")));
    });
  };
  const one = flights.run("k", { what: "Work", signal: first.signal }, hang);
  const two = flights.run("k", { what: "Work", signal: second.signal }, hang);
  first.abort();
  await expect(one).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  expect(workSignal?.aborted).toBe(false);
  second.abort();
  await expect(two).rejects.toMatchObject({ code: "MSB_ERR_ABORTED" });
  expect(workSignal?.aborted).toBe(true);
  expect(await flights.run("k", { what: "Work" }, async () => "anew")).toBe("anew");
});

test("a failure is everybody's, and is not kept", async () => {
  const flights = new SharedFlight<string>();
  const fail = (): Promise<string> => Promise.reject(new Error("no"));
  const runs = [0, 1].map(() => flights.run("k", { what: "Work" }, fail));
  for (const run of runs) await expect(run).rejects.toThrow("no");
  expect(await flights.run("k", { what: "Work" }, async () => "yes")).toBe("yes");
});
