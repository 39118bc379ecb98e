/** Preloaded into a program that must not outlive who started it: it is asked to end when that one is gone. */
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
// Watches without keeping the program from its own end.
process.channel?.unref();
