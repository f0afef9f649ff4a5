#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>

namespace rackboot::look {
namespace {

constexpr size_t kPathBytes = 256;
constexpr size_t kPageBytes = 4096;
// How long the reader may be silent before its end is looked for; the kernel tells of it by POLLHUP anyway.
constexpr int kPollMs = 1000;

// Where a dynamic loader finds libraries. Nothing else of this machine can be opened by a reader.
bool is_library(std::string_view path) {
  if (path.find("..") != std::string_view::npos) return false;
  for (std::string_view root : {"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"}) {
    if (path.starts_with(root)) return true;
  }
  return path == "/etc/ld.so.cache";
}

}  // namespace

int Supervisor::run() {
  int status = 0;
  for (;;) {
    pollfd waiting{.fd = listener_, .events = POLLIN, .revents = 0};
    int ready = poll(&waiting, 1, kPollMs);
    if (ready > 0 && (waiting.revents & POLLIN) != 0) {
      answer_one();
      continue;
    }
    bool over = ready > 0 && (waiting.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
    if (waitpid(child_, &status, over ? 0 : WNOHANG) == child_) break;
  }
  note_read();
  return status;
}

void Supervisor::answer_one() {
  seccomp_notif request{};
  if (ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) return;
  Answer answer = decide(request);
  if (answer.kind == Answer::Kind::disk) {
    // Puts the descriptor into the reader and ends its open() with the new number, in one step.
    seccomp_notif_addfd addition{
        .id = request.id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = static_cast<uint32_t>(disk_), .newfd = 0, .newfd_flags = O_CLOEXEC};
    if (ioctl(listener_, SECCOMP_IOCTL_NOTIF_ADDFD, &addition) >= 0) {
      opened_ = true;
      return;
    }
    answer = {Answer::Kind::error, errno};
  }
  seccomp_notif_resp response{};
  response.id = request.id;
  if (answer.kind == Answer::Kind::proceed) response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  if (answer.kind == Answer::Kind::value) response.val = answer.value;
  if (answer.kind == Answer::Kind::error) response.error = static_cast<int32_t>(-answer.value);
  // ENOENT here means that the reader has been killed meanwhile, which run() will notice.
  (void)ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

Supervisor::Answer Supervisor::decide(const seccomp_notif& request) {
  constexpr Answer kProceed{Answer::Kind::proceed};
  const __u64(&args)[6] = request.data.args;
  switch (request.data.nr) {
    case SYS_execve:
      if (executed_) return {Answer::Kind::error, EPERM};
      executed_ = true;
      return kProceed;
    case SYS_mmap:
    case SYS_mprotect: return opened_ ? Answer{Answer::Kind::error, EPERM} : kProceed;
    case SYS_openat: return open(args[1], args[2]);
#ifdef SYS_open
    case SYS_open: return open(args[0], args[1]);
#endif
    case SYS_newfstatat:
      // How libc asks about a descriptor that is open already: an empty path.
      if ((args[3] & AT_EMPTY_PATH) != 0 && text_at(args[1]).empty()) return kProceed;
      return status(args[1], args[2]);
    case SYS_statx:
      if ((args[2] & AT_EMPTY_PATH) != 0 && text_at(args[1]).empty()) return kProceed;
      return {Answer::Kind::error, ENOENT};
    case SYS_lseek: return seek(static_cast<int64_t>(args[1]), static_cast<int>(args[2]));
    case SYS_pread64:
      if (opened_) ranges_.add(args[3], args[3] + args[2] < args[3] ? args[3] : args[3] + args[2]);
      return kProceed;
    case SYS_readlinkat:
#ifdef SYS_readlink
    case SYS_readlink:
#endif
      // Nothing is a symbolic link: realpath("/disk") is "/disk".
      return {Answer::Kind::error, EINVAL};
    default: return {Answer::Kind::error, ENOENT};
  }
}

Supervisor::Answer Supervisor::open(uint64_t address, uint64_t flags) const {
  const bool reads = (flags & (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND)) == O_RDONLY;
  if (!executed_ || !reads) return {Answer::Kind::error, EACCES};
  const std::string path = text_at(address);
  if (path == kDiskPath) return {Answer::Kind::disk};
  // grub-fstest probes the root directory of the machine it runs on before it opens a disk; the filter shows it empty.
  const bool starting = !opened_ && (path == "/" || is_library(path));
  return starting ? Answer{Answer::Kind::proceed} : Answer{Answer::Kind::error, ENOENT};
}

// bzip2 does not look whether its stat() failed, and takes what happens to lie on its stack for the kind of file.
Supervisor::Answer Supervisor::status(uint64_t path, uint64_t address) const {
  if (!executed_ || text_at(path) != kDiskPath) return {Answer::Kind::error, ENOENT};
  struct stat found {};
  if (fstat(disk_, &found) != 0) return {Answer::Kind::error, errno};
  iovec here{.iov_base = &found, .iov_len = sizeof(found)};
  iovec there{.iov_base = reinterpret_cast<void*>(address), .iov_len = sizeof(found)};
  const bool written = process_vm_writev(child_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(sizeof(found));
  return written ? Answer{Answer::Kind::value, 0} : Answer{Answer::Kind::error, EFAULT};
}

// The seek is done here, on the same open file description, so that what was read since the last one is known from where
// the offset has come to: no call is needed for each read.
Supervisor::Answer Supervisor::seek(int64_t offset, int whence) {
  if (!opened_) return {Answer::Kind::proceed};
  if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END) return {Answer::Kind::error, EINVAL};
  note_read();
  const off_t at = lseek(disk_, offset, whence);
  if (at < 0) return {Answer::Kind::error, errno};
  position_ = static_cast<uint64_t>(at);
  return {Answer::Kind::value, at};
}

void Supervisor::note_read() {
  const off_t now = lseek(disk_, 0, SEEK_CUR);
  if (now < 0 || static_cast<uint64_t>(now) <= position_) return;
  ranges_.add(position_, static_cast<uint64_t>(now));
  position_ = static_cast<uint64_t>(now);
}

// Up to the next page only where the string could end there: the page behind it may not be mapped.
std::string Supervisor::text_at(uint64_t address) const {
  std::string text;
  while (text.size() < kPathBytes) {
    char piece[kPathBytes];
    const size_t to_page_end = kPageBytes - (address + text.size()) % kPageBytes;
    const size_t wanted = std::min(to_page_end, kPathBytes - text.size());
    iovec here{.iov_base = piece, .iov_len = wanted};
    iovec there{.iov_base = reinterpret_cast<void*>(address + text.size()), .iov_len = wanted};
    const ssize_t got = process_vm_readv(child_, &here, 1, &there, 1, 0);
    if (got <= 0) return "?";
    const std::string_view seen(piece, static_cast<size_t>(got));
    const size_t end = seen.find('\0');
    text.append(seen.substr(0, end));
    if (end != std::string_view::npos) return text;
  }
  return "?";
}

}  // namespace rackboot::look
