// The system-call filter of a confined reader: classic BPF, written by hand, so that no library is needed for it.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace rackboot::look {

// The program for SECCOMP_SET_MODE_FILTER. What it answers to a system call is one of
//   allow   the call touches nothing but the process itself, its standard output and descriptors it was given;
//   ask     the supervisor decides (SECCOMP_RET_USER_NOTIF): whatever names a path or moves on the disk;
//   refuse  an error that libraries take in their stride;
//   kill    no reader of a file system has any business there: network, processes, tracing, keys, mounts.
// A call that is in no table is refused: what a kernel learns tomorrow is closed today.
std::vector<sock_filter> build_filter();

}  // namespace rackboot::look
