#include "system/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace rackboot {

int replaceProcess(const std::string& file, const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(file.c_str()));
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // The runtime ignores SIGPIPE, and what is ignored or blocked stays so over an execve; the new program expects the defaults.
  sigset_t none, before;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, &before);
  auto* pipeBefore = signal(SIGPIPE, SIG_DFL);
  // Node marks its standard streams close-on-exec when it starts.
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) fcntl(stream, F_SETFD, 0);
  execve(file.c_str(), argv.data(), environ);
  const int error = errno;
  signal(SIGPIPE, pipeBefore);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return error;
}

void trimMemory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  FILE* maps = fopen("/proc/self/smaps", "re");
  if (maps == nullptr) return;
  // Of a mapping that was never written, only what its file has is let go: nothing is lost, and the file stays in the page cache.
  char line[512];
  char permissions[8] = {};
  unsigned long begin = 0, end = 0, inode = 0, kilobytes = 0;
  while (fgets(line, sizeof line, maps) != nullptr) {
    unsigned long from = 0, to = 0, node = 0;
    if (sscanf(line, "%lx-%lx %7s %*x %*x:%*x %lu", &from, &to, permissions, &node) == 4) {
      begin = from;
      end = to;
      inode = strcmp(permissions, "r-xp") == 0 ? node : 0;
    } else if (inode != 0 && sscanf(line, "Anonymous: %lu kB", &kilobytes) == 1) {
      if (kilobytes == 0) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
      inode = 0;
    }
  }
  fclose(maps);
}

}  // namespace rackboot
