// rackboot-restart [ARGUMENT]: restarts the machine at once, and hands ARGUMENT to the kernel (reboot(2), LINUX_REBOOT_CMD_RESTART2).
// A Pi's firmware takes "0 tryboot" from there. Busybox's reboot has no argument; this is the last that init's way down runs.

#include <linux/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

int main(int count, char** arguments) {
  if (count > 2 || (count == 2 && std::strcmp(arguments[1], "--help") == 0)) {
    std::fputs("Usage: rackboot-restart [ARGUMENT]   restarts at once; services and disks have to have ended before\n", stderr);
    return 2;
  }
  sync();
  const char* argument = count == 2 ? arguments[1] : "";
  syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART2, argument);
  std::perror("rackboot-restart: the kernel does not restart (root may)");
  return 1;
}
