// Counts the user-space instructions of a running process's threads while a command runs, by stepping through them one by
// one. Thousands of times slower than the processor, and exact: for machines whose processor counters are not to be had
// (virtual ones), and for programs that valgrind cannot run (it holds its lock while a thread waits in io_uring_enter).
#include <dirent.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

constexpr const char* kHelp =
    "stepcount --pid PID --thread NAME -- COMMAND [ARGUMENT...]\n\n"
    "Counts the user-space instructions of PID's threads whose name starts with NAME while COMMAND runs,\n"
    "and prints their number on standard error. Exit code: the command's; 2 wrong usage, 3 no such thread or not allowed.\n";
constexpr int kUsage = 2;
constexpr int kNotAllowed = 3;
constexpr unsigned kMaxSeconds = 600;

std::vector<pid_t> threadsOf(pid_t pid, const std::string& name) {
  std::vector<pid_t> found;
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return found;
  while (const dirent* entry = readdir(directory)) {
    std::ifstream file(folder + "/" + entry->d_name + "/comm");
    std::string comm;
    std::getline(file, comm);
    // Kernel threads that io_uring makes look like threads of the process; they have no user space.
    if (entry->d_name[0] != '.' && comm.starts_with(name) && !comm.starts_with("iou-")) found.push_back(std::atoi(entry->d_name));
  }
  closedir(directory);
  return found;
}

// Where the thread is. A repeated string instruction stops after each of its rounds and is still one instruction.
std::uint64_t positionOf(pid_t thread) {
#if defined(__x86_64__)
  return static_cast<std::uint64_t>(ptrace(PTRACE_PEEKUSER, thread, offsetof(user_regs_struct, rip), nullptr));
#else
  static std::uint64_t never = 0;
  static_cast<void>(thread);
  return ++never;
#endif
}

// The stepper and what it steps take turns: on one processor that costs a switch, on two it costs a sleep and a wake-up.
class OneProcessor {
 public:
  explicit OneProcessor(const std::vector<pid_t>& threads) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
    for (const pid_t thread : threads) {
      cpu_set_t before;
      if (sched_getaffinity(thread, sizeof before, &before) == 0) before_[thread] = before;
      sched_setaffinity(thread, sizeof one, &one);
    }
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OneProcessor() {
    for (const auto& [thread, before] : before_) sched_setaffinity(thread, sizeof before, &before);
  }
  OneProcessor(const OneProcessor&) = delete;
  OneProcessor& operator=(const OneProcessor&) = delete;

 private:
  std::map<pid_t, cpu_set_t> before_;
};

struct Stepping {
  std::map<pid_t, std::uint64_t> positions;
  std::uint64_t instructions = 0;

  void step(pid_t thread, int signal) { ptrace(PTRACE_SINGLESTEP, thread, nullptr, reinterpret_cast<void*>(static_cast<long>(signal))); }

  void stopped(pid_t thread, int status) {
    const int signal = WSTOPSIG(status);
    if (status >> 16 != 0) return step(thread, 0);
    if (signal != SIGTRAP) return step(thread, signal);
    const std::uint64_t now = positionOf(thread);
    std::uint64_t& last = positions[thread];
    if (now != last) ++instructions;
    last = now;
    step(thread, 0);
  }

  // A thread can only be let go of while it stands still, and with no step's signal on its way, which would end the process.
  void release() {
    for (const auto& [thread, position] : positions) {
      ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
      int status = 0;
      if (waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status)) continue;
      if (status >> 16 != 0 && signalPending(thread)) {
        ptrace(PTRACE_CONT, thread, nullptr, nullptr);
        waitpid(thread, &status, __WALL);
      }
      ptrace(PTRACE_DETACH, thread, nullptr, nullptr);
    }
  }

  static bool signalPending(pid_t thread) {
    __ptrace_peeksiginfo_args first{0, 0, 1};
    siginfo_t signal{};
    return ptrace(PTRACE_PEEKSIGINFO, thread, &first, &signal) > 0;
  }
};

int count(pid_t pid, const std::string& name, char** command) {
  Stepping stepping;
  const std::vector<pid_t> threads = threadsOf(pid, name);
  for (const pid_t thread : threads) {
    if (ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) {
      std::fprintf(stderr, "stepcount: thread %d: %s\n", thread, std::strerror(errno));
      stepping.release();
      return kNotAllowed;
    }
    stepping.positions[thread] = 0;
    ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
  }
  if (stepping.positions.empty()) {
    std::fprintf(stderr, "stepcount: process %d has no thread named %s\n", pid, name.c_str());
    return kNotAllowed;
  }
  const pid_t child = fork();
  if (child == 0) {
    alarm(kMaxSeconds);
    execvp(command[0], command);
    std::fprintf(stderr, "stepcount: %s: %s\n", command[0], std::strerror(errno));
    _exit(127);
  }
  const OneProcessor together(threads);
  int result = 1;
  for (int status = 0;;) {
    const pid_t who = waitpid(-1, &status, __WALL);
    if (who < 0 && errno != EINTR) break;
    if (who == child && (WIFEXITED(status) || WIFSIGNALED(status))) {
      result = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
      break;
    }
    if (who > 0 && WIFSTOPPED(status)) stepping.stopped(who, status);
    if (who > 0 && !WIFSTOPPED(status)) stepping.positions.erase(who);
  }
  stepping.release();
  std::fprintf(stderr, "instructions %llu\n", static_cast<unsigned long long>(stepping.instructions));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  pid_t pid = 0;
  std::string name;
  int at = 1;
  for (; at + 1 < argc && std::strcmp(argv[at], "--") != 0; at += 2) {
    if (std::strcmp(argv[at], "--pid") == 0) pid = std::atoi(argv[at + 1]);
    if (std::strcmp(argv[at], "--thread") == 0) name = argv[at + 1];
  }
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  if (pid <= 0 || at + 1 >= argc) {
    std::fputs(kHelp, stderr);
    return kUsage;
  }
  return count(pid, name, argv + at + 1);
}
