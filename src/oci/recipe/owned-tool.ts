/**
 * A tool that mounts and fills a folder for temporary files, tied to the process that starts it: when that is killed, the
 * tool is asked to end and its files go. Where all of them are killed at once, the next sweep finds the folder without
 * anybody who has its lock (`stale-folders.ts`). Its mounts are its own, so they go with its last process whatever happens.
 */

export const FOLDER_PREFIX = "msb-recipe-";
/** In the folder; locked as long as the shell, the tool or anything that the tool has started is there. */
export const LOCK_NAME = "lock";

/** Sent to the shell, and to nobody else, when its parent is gone. */
const ORPHAN_SIGNAL = "USR1";
/** A container may deny the namespace to root; then nothing can be mounted there either. */
const PRIVATE_MOUNTS = "unshare --mount --propagation private";
/**
 * The tool's words go through a FIFO that is read to its end, for a tool that cleans up and cannot say so would die of it.
 * Root in a namespace of the tool may have other ids than the user: they have to get through the folder.
 * SIGTERM comes to the whole group, so once the tool runs it is left to that; `wait` returns for it and is called again.
 * A tool that was killed may leave children that still write, so they are ended and the FIFO is read to its end before
 * anything is removed. No mount of the tool is seen from here, so what is removed is nothing but its files.
 */
const SCRIPT = `
TMPDIR=$(mktemp -d "\${TMPDIR:-/tmp}/${FOLDER_PREFIX}XXXXXX") || exit
export TMPDIR
trap 'rm -rf "$TMPDIR"; exit 143' TERM
trap 'kill -TERM 0' ${ORPHAN_SIGNAL}
exec 9>"$TMPDIR/${LOCK_NAME}" && flock --exclusive --nonblock 9 || exit
chmod 711 "$TMPDIR"
mkfifo "$TMPDIR/stderr" || exit
[ "$(id -u)" != 0 ] || ! ${PRIVATE_MOUNTS} true 2>/dev/null || set -- ${PRIVATE_MOUNTS} "$@"
(trap '' TERM; cat; exec cat >/dev/null) <"$TMPDIR/stderr" >&2 &
"$@" 2>"$TMPDIR/stderr" &
tool=$!
trap : TERM
while :; do
  wait "$tool"
  code=$?
  kill -0 "$tool" 2>/dev/null || break
done
kill -TERM 0
wait
rm -rf --one-file-system "$TMPDIR"
exit "$code"
`;

/** The program (of util-linux) and its arguments that run `tool` so; it has to lead a process group. */
export function ownedTool(
  tool: string,
  args: readonly string[],
): readonly [path: string, args: readonly string[]] {
  return ["setpriv", ["--pdeathsig", ORPHAN_SIGNAL, "sh", "-c", SCRIPT, "sh", tool, ...args]];
}
