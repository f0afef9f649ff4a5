// Decides the system calls that the filter asks about, and keeps the list of what was read from the disk.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "ranges.h"

struct seccomp_notif;

namespace rackboot::look {

// The only path that names the disk inside the reader. It exists nowhere: the supervisor hands out the descriptor.
inline constexpr char kDiskPath[] = "/disk";

// One reader: a single-threaded child (clone is fatal to it), so the strings it asks about cannot change while they are read.
//
// Until the disk is opened for the first time the reader is a trusted program that has not seen one octet of the disk: it may
// execute once and load libraries. From then on it can read the disk and write to its standard output, and nothing else.
class Supervisor {
 public:
  // `listener` is from SECCOMP_FILTER_FLAG_NEW_LISTENER; `disk` is a read-only descriptor whose offset the reader's shares.
  Supervisor(int listener, int disk, pid_t child) : listener_(listener), disk_(disk), child_(child) {}

  // Answers until the reader is gone; returns its wait status.
  int run();

  // What was read, once run() has returned.
  const std::vector<Range>& read_ranges() { return ranges_.settled(); }

 private:
  struct Answer {
    enum class Kind { proceed, value, error, disk } kind;
    int64_t value = 0;
  };

  void answer_one();
  Answer decide(const seccomp_notif& request);
  Answer open(uint64_t path, uint64_t flags) const;
  Answer status(uint64_t path, uint64_t address) const;
  Answer seek(int64_t offset, int whence);
  void note_read();
  std::string text_at(uint64_t address) const;

  int listener_;
  int disk_;
  pid_t child_;
  bool executed_ = false;
  bool opened_ = false;
  uint64_t position_ = 0;
  Ranges ranges_;
};

}  // namespace rackboot::look
