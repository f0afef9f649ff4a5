#pragma once

#include "options.hpp"

namespace loadgen {

// Answers READ with octets out of one buffer and WRITE by dropping its data: a target without login, checks or a disk.
// What is left is TCP, which no target can undercut. Prints "listening on PORT" and serves until it is told to end (SIGTERM, SIGINT).
void serveRaw(const Options& options);

}  // namespace loadgen
