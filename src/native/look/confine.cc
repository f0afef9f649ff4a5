// rackboot-confine: runs a reader of file systems on a disk whose contents nobody vouches for.
//
//   rackboot-confine CPU_SECONDS MEMORY_BYTES PROGRAM ARGUMENT...
//
// The caller passes the disk as descriptor 3, open for reading, and a pipe as descriptor 4. PROGRAM finds the disk under the path
// /disk and no other file; its output is on descriptors 1 and 2. When it has ended, descriptor 4 gets one line per range of the disk
// that was read, "read OFFSET LENGTH", and a last line "exit CODE" or "signal NUMBER". Exits with the program's code, with 128 plus
// the signal that ended it, or with 125 and a sentence on descriptor 2 when it could not be started.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include "filter.h"
#include "supervisor.h"

namespace rackboot::look {
namespace {

constexpr int kDisk = 3;
constexpr int kReport = 4;
constexpr int kCannotStart = 125;
constexpr int kOpenFiles = 16;
// "nobody" everywhere; it owns no file.
constexpr uid_t kNobody = 65534;
constexpr int kNiceness = 5;

[[noreturn]] void fail(const char* what) {
  dprintf(STDERR_FILENO, "rackboot-confine: %s: %s\n", what, strerror(errno));
  _exit(kCannotStart);
}

void limit(int resource, rlim_t value) {
  const rlimit both{.rlim_cur = value, .rlim_max = value};
  if (setrlimit(static_cast<__rlimit_resource_t>(resource), &both) != 0) fail("setrlimit");
}

// For the supervisor as for the reader: neither needs a right, since both get what they read as open descriptors.
void drop_rights() {
  if (geteuid() == 0) {
    if (setgroups(0, nullptr) != 0) fail("setgroups");
    if (setresgid(kNobody, kNobody, kNobody) != 0) fail("setresgid");
    if (setresuid(kNobody, kNobody, kNobody) != 0) fail("setresuid");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
  // Whoever started this is gone, and with it whoever would read the answer. Changing the user has cleared it, so it comes last.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("pdeathsig");
}

// Where the reader tells the supervisor which descriptor listens: 0 for not yet, -errno for never.
using Mailbox = std::atomic<int>;
static_assert(sizeof(Mailbox) == sizeof(int) && Mailbox::is_always_lock_free);

void post(Mailbox& mailbox, int value) {
  mailbox.store(value);
  syscall(SYS_futex, &mailbox, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

int collect(Mailbox& mailbox, pid_t child) {
  const timespec patience{.tv_sec = 0, .tv_nsec = 100'000'000};
  while (mailbox.load() == 0) {
    syscall(SYS_futex, &mailbox, FUTEX_WAIT, 0, &patience, nullptr, 0);
    if (mailbox.load() == 0 && waitpid(child, nullptr, WNOHANG) == child) {
      errno = ECHILD;
      return -1;
    }
  }
  const int value = mailbox.load();
  if (value < 0) errno = -value;
  return value;
}

[[noreturn]] void become_reader(Mailbox& mailbox, const std::vector<sock_filter>& filter, rlim_t cpu_seconds, rlim_t memory_bytes,
                                char** command) {
  // The parent-death signal is not inherited; the supervisor's end must be the reader's.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("pdeathsig");
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NOFILE, kOpenFiles);
  limit(RLIMIT_CPU, cpu_seconds);
  limit(RLIMIT_AS, memory_bytes);
  char* environment[] = {const_cast<char*>("LC_ALL=C"), nullptr};
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = const_cast<sock_filter*>(filter.data())};
  const long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  post(mailbox, listener < 0 ? -errno : static_cast<int>(listener));
  if (listener >= 0) execve(command[0], command, environment);
  if (listener >= 0) fail(command[0]);
  _exit(kCannotStart);
}

int run(rlim_t cpu_seconds, rlim_t memory_bytes, char** command) {
  // What Node has open, or a parent forgot to close, is not for the reader. The disk and the report end at its exec.
  if (fcntl(kDisk, F_SETFD, FD_CLOEXEC) != 0) fail("descriptor 3 (the disk)");
  if (fcntl(kReport, F_SETFD, FD_CLOEXEC) != 0) fail("descriptor 4 (the report)");
  if ((fcntl(kDisk, F_GETFL) & O_ACCMODE) != O_RDONLY) {
    errno = EACCES;
    fail("descriptor 3 (the disk) is not open for reading only");
  }
  if (syscall(SYS_close_range, kReport + 1, ~0U, 0) != 0) fail("close_range");
  if (chdir("/") != 0) fail("chdir");
  (void)setpriority(PRIO_PROCESS, 0, kNiceness);
  drop_rights();
  // An output that nobody reads any more is a reason to end in order, with a report.
  signal(SIGPIPE, SIG_IGN);

  void* shared = mmap(nullptr, sizeof(Mailbox), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) fail("mmap");
  Mailbox& mailbox = *new (shared) Mailbox(0);
  const std::vector<sock_filter> filter = build_filter();

  // Parent and child share one descriptor table until the exec, which is how the listener reaches the parent without a socket.
  const long child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (child < 0) fail("clone");
  if (child == 0) become_reader(mailbox, filter, cpu_seconds, memory_bytes, command);

  const int listener = collect(mailbox, static_cast<pid_t>(child));
  if (listener < 0) fail("the system-call filter (the kernel needs CONFIG_SECCOMP_FILTER, version 5.14 or later)");
  Supervisor supervisor(listener, kDisk, static_cast<pid_t>(child));
  const int status = supervisor.run();

  std::string report;
  for (const Range& range : supervisor.read_ranges()) {
    report += "read " + std::to_string(range.begin) + " " + std::to_string(range.end - range.begin) + "\n";
  }
  const bool signalled = WIFSIGNALED(status);
  report += signalled ? "signal " + std::to_string(WTERMSIG(status)) : "exit " + std::to_string(WEXITSTATUS(status));
  report += "\n";
  for (size_t written = 0; written < report.size();) {
    const ssize_t wrote = write(kReport, report.data() + written, report.size() - written);
    if (wrote < 0 && errno != EINTR) fail("descriptor 4 (the report)");
    if (wrote > 0) written += static_cast<size_t>(wrote);
  }
  return signalled ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace
}  // namespace rackboot::look

int main(int argc, char** argv) {
  char* end = nullptr;
  const unsigned long cpu_seconds = argc > 3 ? strtoul(argv[1], &end, 10) : 0;
  const unsigned long memory_bytes = cpu_seconds > 0 && *end == '\0' ? strtoul(argv[2], &end, 10) : 0;
  if (memory_bytes == 0 || *end != '\0') {
    fprintf(stderr, "usage: rackboot-confine CPU_SECONDS MEMORY_BYTES PROGRAM ARGUMENT... 3<DISK 4>REPORT\n");
    return rackboot::look::kCannotStart;
  }
  return rackboot::look::run(cpu_seconds, memory_bytes, argv + 3);
}
