// System calls for src/native/process.ts.
#pragma once

#include <string>
#include <vector>

namespace rackboot {

/// execve(2) with this process's environment; returns only on failure, with an errno. `arguments` follow `file` in argv.
int replaceProcess(const std::string& file, const std::vector<std::string>& arguments);

/// Gives back what this process needed once: free pages of malloc, and mapped pages of programs, which come back from the page cache
/// when they are used again.
void trimMemory();

}  // namespace rackboot
