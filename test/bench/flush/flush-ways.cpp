// Forty machines that each write 16 KiB at random and flush, without the network between: one way to flush, for some seconds.
#include <fcntl.h>
#include <liburing.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr const char* kHelp =
    "flush-ways WAY WORKERS SECONDS FILE...\n\n"
    "WAY is one of:\n"
    "  ring     each flush is an entry of an io_uring, as soon as its write is done; WORKERS may wait (0: the kernel's own limit)\n"
    "  early    the same, after its writeback was begun on the thread that submits\n"
    "  batch    all flushes at once in an io_uring, and the next ones when all of them are over\n"
    "  threads  fdatasync on WORKERS threads\n"
    "  syncfs   one syncfs for all that wait, and one fdatasync for the device's cache where nothing was in the log\n"
    "Prints operations, seconds, and the latency's p50 and p99 in microseconds.\n";

using Clock = std::chrono::steady_clock;
constexpr size_t kBlock = 16 * 1024;

[[noreturn]] void fail(const char* what, int error) {
  fprintf(stderr, "flush-ways: %s: %s\n", what, strerror(error));
  exit(1);
}

/// The machines, each with its file; those that are done write again.
class Machines {
 public:
  Machines(char** paths, int count, double seconds) {
    for (int i = 0; i < count; ++i) {
      const int fd = open(paths[i], O_RDWR | O_CLOEXEC);
      if (fd < 0) fail(paths[i], errno);
      files_.push_back({fd, lseek(fd, 0, SEEK_END) / static_cast<off_t>(kBlock), {}});
    }
    start_ = Clock::now();
    end_ = start_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  size_t count() const { return files_.size(); }
  int file(size_t machine) const { return files_[machine].fd; }
  bool going() const { return Clock::now() < end_; }

  void write(size_t machine) {
    File& file = files_[machine];
    iovec data{block_, sizeof block_};
    const off_t at = random() % file.blocks * static_cast<off_t>(kBlock);
    file.began = Clock::now();
    if (pwritev2(file.fd, &data, 1, at, RWF_NOWAIT) == static_cast<ssize_t>(kBlock)) return;
    if (pwritev2(file.fd, &data, 1, at, 0) != static_cast<ssize_t>(kBlock)) fail("write", errno);
  }
  void flushed(size_t machine) {
    latencies_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - files_[machine].began).count());
  }
  void print() {
    std::sort(latencies_.begin(), latencies_.end());
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    printf("%zu %.3f %.0f %.0f\n", latencies_.size(), seconds, latencies_[latencies_.size() / 2], latencies_[latencies_.size() * 99 / 100]);
  }

 private:
  struct File {
    int fd;
    off_t blocks;
    Clock::time_point began;
  };
  std::vector<File> files_;
  std::vector<double> latencies_;
  Clock::time_point start_, end_;
  char block_[kBlock] = {};
};

/// Flushes in an io_uring as the data plane has it.
class Ring {
 public:
  explicit Ring(unsigned workers) {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    if (const int error = io_uring_queue_init_params(512, &ring_, &parameters); error != 0) fail("io_uring", -error);
    unsigned most[] = {workers, 0};
    if (workers > 0) io_uring_register_iowq_max_workers(&ring_, most);
  }
  ~Ring() { io_uring_queue_exit(&ring_); }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  void flush(int fd, size_t machine) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(entry, machine);
  }
  std::vector<size_t> wait(size_t atLeast) {
    io_uring_submit_and_wait(&ring_, static_cast<unsigned>(atLeast));
    io_uring_cqe* done[128];
    const unsigned count = io_uring_peek_batch_cqe(&ring_, done, 128);
    std::vector<size_t> machines;
    for (unsigned i = 0; i < count; ++i) {
      if (done[i]->res < 0) fail("fdatasync", -done[i]->res);
      machines.push_back(io_uring_cqe_get_data64(done[i]));
    }
    io_uring_cq_advance(&ring_, count);
    return machines;
  }

 private:
  io_uring ring_{};
};

void throughRing(Machines& machines, unsigned workers, bool early) {
  Ring ring(workers);
  const auto begin = [&](size_t machine) {
    machines.write(machine);
    if (early) sync_file_range(machines.file(machine), 0, 0, SYNC_FILE_RANGE_WRITE);
    ring.flush(machines.file(machine), machine);
  };
  for (size_t machine = 0; machine < machines.count(); ++machine) begin(machine);
  while (machines.going()) {
    for (const size_t machine : ring.wait(1)) {
      machines.flushed(machine);
      begin(machine);
    }
  }
}

void inBatches(Machines& machines, unsigned workers) {
  Ring ring(workers);
  while (machines.going()) {
    for (size_t machine = 0; machine < machines.count(); ++machine) {
      machines.write(machine);
      ring.flush(machines.file(machine), machine);
    }
    for (const size_t machine : ring.wait(machines.count())) machines.flushed(machine);
  }
}

/// One thread writes, `workers` others flush what waits: one file each, or all of them together.
void onThreads(Machines& machines, unsigned workers, bool together) {
  std::mutex mutex;
  std::condition_variable work, done;
  std::vector<size_t> waiting, flushed;
  bool stopping = false;
  const auto flush = [&] {
    std::unique_lock lock(mutex);
    for (;;) {
      work.wait(lock, [&] { return stopping || !waiting.empty(); });
      if (stopping) return;
      std::vector<size_t> mine;
      if (together) {
        mine.swap(waiting);
      } else {
        mine.push_back(waiting.front());
        waiting.erase(waiting.begin());
      }
      lock.unlock();
      const int fd = machines.file(mine.front());
      if (together && syncfs(fd) != 0) fail("syncfs", errno);
      if (fdatasync(fd) != 0) fail("fdatasync", errno);
      lock.lock();
      flushed.insert(flushed.end(), mine.begin(), mine.end());
      done.notify_one();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < workers; ++i) threads.emplace_back(flush);
  std::vector<size_t> ready(machines.count());
  for (size_t machine = 0; machine < machines.count(); ++machine) ready[machine] = machine;
  while (machines.going()) {
    for (const size_t machine : ready) machines.write(machine);
    std::unique_lock lock(mutex);
    waiting.insert(waiting.end(), ready.begin(), ready.end());
    for (size_t i = 0; i < std::min<size_t>(ready.size(), workers); ++i) work.notify_one();
    done.wait(lock, [&] { return !flushed.empty(); });
    ready = std::exchange(flushed, {});
    for (const size_t machine : ready) machines.flushed(machine);
  }
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  work.notify_all();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    fputs(kHelp, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
    return argc == 2 ? 0 : 2;
  }
  const std::string way = argv[1];
  const auto workers = static_cast<unsigned>(std::clamp(atoi(argv[2]), 0, 1024));
  Machines machines(argv + 4, argc - 4, atof(argv[3]));
  if (way == "ring" || way == "early") {
    throughRing(machines, workers, way == "early");
  } else if (way == "batch") {
    inBatches(machines, workers);
  } else if (way == "threads") {
    onThreads(machines, std::max(workers, 1u), false);
  } else if (way == "syncfs") {
    onThreads(machines, 1, true);
  } else {
    fputs(kHelp, stderr);
    return 2;
  }
  machines.print();
  return 0;
}
