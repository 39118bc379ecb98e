// The floor of a boot: PID 1 that says one word on the console and ends the VM.
#include <fcntl.h>
#include <sys/reboot.h>
#include <unistd.h>

int main() {
  const int console = open("/dev/console", O_WRONLY);
  (void)!write(console >= 0 ? console : 1, "up\n", 3);
  // The reader needs a moment to take the word before the VM is gone.
  usleep(200000);
  reboot(RB_AUTOBOOT);
}
