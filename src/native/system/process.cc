#include "system/process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

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

}  // namespace rackboot
