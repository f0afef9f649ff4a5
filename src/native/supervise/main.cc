// rackboot-supervise: runs the daemon on the board, and stands in for it where it does not answer.
//
//   rackboot-supervise [OPTION VALUE]... -- PROGRAM ARGUMENT...
//     --socket PATH       the daemon's control socket, asked every other second
//     --serving PATH      a file that is there while the daemon answers
//     --login PATH        a file that is there while a person is logged in without the daemon
//     --watchdog PATH     a watchdog device
//     --lamp PATH         the FAULT lamp's `value` or `brightness` in sysfs;  --lamp-low PATH: one that shines at 0
//
// A daemon that ends is started again: at once where it ended with code 0, otherwise after 1, 2, 4 ... 60 s. One that hangs is killed.
// SIGTERM ends the daemon, then this. Everything said goes to descriptor 2.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <string>

#include "lamp.h"
#include "ping.h"
#include "policy.h"
#include "watchdog.h"

namespace rackboot::supervise {
namespace {

constexpr int kTickMs = 50;
constexpr Milliseconds kAskEvery = 2'000;
// Sessions are asked to log out, disks are flushed.
constexpr Milliseconds kStopTimeout = 30'000;

struct Options {
  std::string socket, serving, login, watchdog, lamp;
  bool lamp_low = false;
  char** command = nullptr;
};

volatile sig_atomic_t stop_asked = 0;

Milliseconds now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Milliseconds{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
}

__attribute__((format(printf, 1, 2))) void say(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  dprintf(STDERR_FILENO, "supervisor: %s\n", text);
}

bool parse(int argc, char** argv, Options& options) {
  int i = 1;
  for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--socket")
      options.socket = value;
    else if (name == "--serving")
      options.serving = value;
    else if (name == "--login")
      options.login = value;
    else if (name == "--watchdog")
      options.watchdog = value;
    else if (name == "--lamp" || name == "--lamp-low")
      options.lamp = value, options.lamp_low = name == "--lamp-low";
    else
      return false;
  }
  if (i + 1 >= argc || options.socket.empty()) return false;
  options.command = argv + i + 1;
  return true;
}

pid_t start(char** command) {
  const pid_t supervisor = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  // Two daemons would quarrel over disks: with this supervisor its daemon goes too.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != supervisor) _exit(127);
  execvp(command[0], command);
  dprintf(STDERR_FILENO, "supervisor: %s: %s\n", command[0], strerror(errno));
  _exit(127);
}

void show_serving(const std::string& path, bool serving) {
  if (path.empty()) return;
  if (!serving) {
    unlink(path.c_str());
    return;
  }
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (file >= 0) close(file);
}

bool is_there(const std::string& path) {
  struct stat ignored {};
  return !path.empty() && stat(path.c_str(), &ignored) == 0;
}

// Ends the daemon in good order; one that takes too long is killed, and its disks are what a crash leaves.
void stop(pid_t child) {
  kill(child, SIGTERM);
  for (const Milliseconds deadline = now() + kStopTimeout; now() < deadline; poll(nullptr, 0, kTickMs)) {
    if (waitpid(child, nullptr, WNOHANG) == child) return;
  }
  say("the daemon did not end within %d s and is killed", static_cast<int>(kStopTimeout / 1000));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

int run(const Options& options) {
  Policy policy({}, now());
  Ping ping(options.socket);
  Lamp lamp(options.lamp, options.lamp_low);
  Watchdog watchdog(options.watchdog);
  if (!options.watchdog.empty() && !watchdog.present()) say("there is no watchdog at %s", options.watchdog.c_str());
  show_serving(options.serving, false);
  pid_t child = -1;
  Milliseconds asked = 0;
  while (stop_asked == 0) {
    const Milliseconds at = now();
    if (policy.should_start(at)) {
      child = start(options.command);
      if (child > 0)
        policy.started(at);
      else
        policy.ended(at, false);
    }
    if (child > 0 && at - asked >= kAskEvery) {
      asked = at;
      ping.ask();
    }
    if (ping.answered()) {
      if (!policy.serving()) say("the daemon answers");
      policy.answered(at);
      show_serving(options.serving, true);
      lamp.release();
    }
    if (policy.should_kill(at)) {
      say("the daemon does not answer and is killed");
      kill(child, SIGKILL);
    }
    int status = 0;
    if (child > 0 && waitpid(child, &status, WNOHANG) == child) {
      child = -1;
      policy.ended(at, WIFEXITED(status) && WEXITSTATUS(status) == 0);
      show_serving(options.serving, false);
      say("the daemon ended (%s %d); it starts again in %lld s", WIFSIGNALED(status) ? "signal" : "code",
          WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), static_cast<long long>(policy.delay(at) / 1000));
    }
    if (policy.dead()) lamp.blink(at);
    if (policy.should_feed(at, is_there(options.login))) watchdog.feed(at);
    poll(nullptr, 0, kTickMs);
  }
  watchdog.leave();
  if (child > 0) stop(child);
  show_serving(options.serving, false);
  return 0;
}

}  // namespace
}  // namespace rackboot::supervise

int main(int argc, char** argv) {
  using namespace rackboot::supervise;
  Options options;
  if (!parse(argc, argv, options)) {
    dprintf(STDERR_FILENO, "usage: rackboot-supervise --socket PATH [OPTION VALUE]... -- PROGRAM ARGUMENT...\n");
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = [](int) { stop_asked = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  return run(options);
}
