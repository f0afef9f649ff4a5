// Downloads one file over TFTP (RFC 1350, 2347, 2348, 7440) many times at once and says how it went, as one line of JSON.
// Every octet is compared with the file. Packets are lost here, by a seeded generator, before anything looks at them: a loss costs
// a server what a loss on the wire would. Usage: see kUsage.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr const char* kUsage =
    "tftp-client ADDRESS PORT NAME FILE [--blksize N] [--windowsize N] [--sessions N] [--loss PERCENT] [--ack-loss PERCENT] [--seed N] "
    "[--answers once|always] "
    "[--timeout SECONDS]\n"
    "  --answers  what a block that does not fit is answered with: the last good ACK once (as atftp), or always (as OVMF)\n";
constexpr uint16_t kReadRequest = 1, kData = 3, kAck = 4, kError = 5, kOptionAck = 6;
constexpr size_t kHeaderBytes = 4;
constexpr size_t kBatch = 64;
/// 127.78.0.1, for a server anywhere in 127/8.
constexpr uint32_t kFirstClient = 0x7f4e0001;
/// What firmware waits before it says its last ACK again.
constexpr double kRepeatSeconds = 1;
constexpr int kRequestRepeats = 10;

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Options {
  sockaddr_in server{};
  std::string name;
  const uint8_t* content = nullptr;
  uint64_t sizeBytes = 0;
  uint32_t blksize = 1468;
  uint32_t windowsize = 1;
  size_t sessions = 1;
  double loss = 0;
  double ackLoss = 0;
  uint32_t seed = 1;
  bool answersAlways = false;
  double timeoutSeconds = 60;
};

struct Totals {
  uint64_t dataPackets = 0;
  uint64_t acksSent = 0;
  uint64_t wrongOctets = 0;
  uint32_t finished = 0;
  std::string error;
  double lastEnd = 0;
  double firstEnd = 0;
};

class Session {
 public:
  Session(const Options& options, Totals& totals, uint32_t index)
      : options_(options), totals_(totals), random_(options.seed * 1000 + index), fd_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
    sockaddr_in own{};
    own.sin_family = AF_INET;
    // Machines have an address each, and servers count what one address takes.
    own.sin_addr.s_addr = htonl(kFirstClient + index);
    if (bind(fd_, reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) perror("bind");
    const size_t bytes = options.blksize + kHeaderBytes;
    memory_.resize(kBatch * bytes);
    for (size_t i = 0; i < kBatch; ++i) {
      parts_[i] = {memory_.data() + i * bytes, bytes};
      headers_[i].msg_hdr.msg_iov = &parts_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  ~Session() { close(fd_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  int fd() const { return fd_; }
  bool over() const { return over_; }
  double deadline() const { return deadline_; }

  void request() {
    std::string packet{0, kReadRequest};
    for (const std::string& word : {options_.name, std::string("octet"), std::string("blksize"), std::to_string(options_.blksize)})
      packet += word + '\0';
    if (options_.windowsize > 1) packet += std::string("windowsize") + '\0' + std::to_string(options_.windowsize) + '\0';
    sendto(fd_, packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&options_.server), sizeof options_.server);
    deadline_ = now() + kRepeatSeconds;
  }

  void timeout() {
    if (connected_) return acknowledge();
    if (++requests_ > kRequestRepeats) return fail("no answer to the request");
    request();
  }

  void ready() {
    if (!connected_) {
      // The server's port of this transfer is whoever answers first.
      sockaddr_in from{};
      socklen_t length = sizeof from;
      uint8_t octet = 0;
      if (recvfrom(fd_, &octet, 1, MSG_PEEK, reinterpret_cast<sockaddr*>(&from), &length) < 0) return;
      connect(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from);
      connected_ = true;
    }
    for (;;) {
      const int count = recvmmsg(fd_, headers_.data(), kBatch, MSG_DONTWAIT, nullptr);
      for (int i = 0; i < count && !over_; ++i)
        received(memory_.data() + static_cast<size_t>(i) * (options_.blksize + kHeaderBytes), headers_[i].msg_len);
      if (over_ || count < static_cast<int>(kBatch)) return;
    }
  }

 private:
  void received(const uint8_t* packet, size_t length) {
    if (length < 2) return;
    const auto opcode = static_cast<uint16_t>(packet[0] << 8 | packet[1]);
    if (opcode == kData) ++totals_.dataPackets;
    if (opcode == kData && lost(options_.loss)) return;
    if (opcode == kError) return fail(std::string(reinterpret_cast<const char*>(packet) + kHeaderBytes, length > 5 ? length - 5 : 0));
    if (opcode == kOptionAck) {
      if (have_ > 0) return;
      // A server that does not know windows says nothing of them (RFC 7440, 3).
      const std::string options(reinterpret_cast<const char*>(packet), length);
      const size_t at = options.find("windowsize");
      windowsize_ = at == std::string::npos ? 1 : static_cast<uint32_t>(atoi(options.c_str() + at + sizeof "windowsize"));
      return acknowledge();
    }
    if (opcode != kData || length < kHeaderBytes) return;
    const auto block = static_cast<uint16_t>(packet[2] << 8 | packet[3]);
    if (block != static_cast<uint16_t>(have_ + 1)) {
      // RFC 7440, 4: the last block that came in order.
      if (options_.answersAlways || !saidHole_) acknowledge();
      saidHole_ = true;
      return;
    }
    saidHole_ = false;
    const uint64_t at = have_ * options_.blksize;
    const size_t bytes = length - kHeaderBytes;
    const bool last = bytes < options_.blksize;
    if (at + bytes > options_.sizeBytes || memcmp(packet + kHeaderBytes, options_.content + at, bytes) != 0) ++totals_.wrongOctets;
    ++have_;
    if (last) {
      if (at + bytes != options_.sizeBytes) ++totals_.wrongOctets;
      // The last ACK is not lost: waiting for what the server does then is no part of what is measured.
      return finish();
    }
    if (++sinceAck_ == windowsize_) acknowledge();
  }

  bool lost(double share) { return share > 0 && std::uniform_real_distribution<>(0, 1)(random_) < share; }

  void acknowledge() {
    sinceAck_ = 0;
    deadline_ = now() + kRepeatSeconds;
    ++totals_.acksSent;
    if (!lost(options_.ackLoss)) say();
  }

  void say() {
    const std::array<uint8_t, kHeaderBytes> packet = {0, kAck, static_cast<uint8_t>(have_ >> 8), static_cast<uint8_t>(have_)};
    send(fd_, packet.data(), packet.size(), 0);
  }

  void finish() {
    say();
    over_ = true;
    ++totals_.finished;
    totals_.lastEnd = now();
    if (totals_.firstEnd == 0) totals_.firstEnd = totals_.lastEnd;
  }

  void fail(const std::string& reason) {
    over_ = true;
    totals_.error = reason;
  }

  const Options& options_;
  Totals& totals_;
  std::mt19937 random_;
  const int fd_;
  std::vector<uint8_t> memory_;
  std::array<iovec, kBatch> parts_{};
  std::array<mmsghdr, kBatch> headers_{};
  uint64_t have_ = 0;
  uint32_t sinceAck_ = 0;
  uint32_t windowsize_ = 1;
  int requests_ = 0;
  bool connected_ = false;
  bool saidHole_ = false;
  bool over_ = false;
  double deadline_ = 0;
};

bool parse(int argc, char** argv, Options& out) {
  if (argc < 5 || inet_pton(AF_INET, argv[1], &out.server.sin_addr) != 1) return false;
  out.server.sin_family = AF_INET;
  out.server.sin_port = htons(static_cast<uint16_t>(atoi(argv[2])));
  out.name = argv[3];
  const int fd = open(argv[4], O_RDONLY);
  struct stat found {};
  if (fd < 0 || fstat(fd, &found) != 0) return false;
  out.sizeBytes = static_cast<uint64_t>(found.st_size);
  out.content = static_cast<const uint8_t*>(mmap(nullptr, out.sizeBytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0));
  for (int i = 5; i + 1 < argc; i += 2) {
    const std::string key = argv[i], value = argv[i + 1];
    if (key == "--blksize")
      out.blksize = static_cast<uint32_t>(std::stoul(value));
    else if (key == "--windowsize")
      out.windowsize = static_cast<uint32_t>(std::stoul(value));
    else if (key == "--sessions")
      out.sessions = std::stoul(value);
    else if (key == "--loss")
      out.loss = std::stod(value) / 100;
    else if (key == "--ack-loss")
      out.ackLoss = std::stod(value) / 100;
    else if (key == "--seed")
      out.seed = static_cast<uint32_t>(std::stoul(value));
    else if (key == "--answers")
      out.answersAlways = value == "always";
    else if (key == "--timeout")
      out.timeoutSeconds = std::stod(value);
    else
      return false;
  }
  return out.content != MAP_FAILED;
}

double cpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    fputs(kUsage, stderr);
    return 2;
  }
  Totals totals;
  std::vector<std::unique_ptr<Session>> sessions;
  const int epoll = epoll_create1(0);
  for (uint32_t i = 0; i < options.sessions; ++i) {
    sessions.push_back(std::make_unique<Session>(options, totals, i));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = sessions.back().get();
    epoll_ctl(epoll, EPOLL_CTL_ADD, sessions.back()->fd(), &event);
  }
  const double begun = now();
  for (const auto& session : sessions) session->request();
  double nextTimers = 0;
  for (size_t open = sessions.size(); open > 0;) {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll, events.data(), events.size(), 100);
    for (int i = 0; i < count; ++i) {
      auto* session = static_cast<Session*>(events[static_cast<size_t>(i)].data.ptr);
      session->ready();
      if (!session->over()) continue;
      epoll_ctl(epoll, EPOLL_CTL_DEL, session->fd(), nullptr);
      --open;
    }
    const double time = now();
    if (time < nextTimers) continue;
    nextTimers = time + 0.05;
    for (const auto& session : sessions) {
      if (session->over() || time < session->deadline()) continue;
      session->timeout();
      if (session->over()) --open;
    }
    if (time - begun <= options.timeoutSeconds) continue;
    totals.error = "not finished in time";
    break;
  }
  const uint64_t blocks = (options.sizeBytes / options.blksize + 1) * options.sessions;
  const double seconds = (totals.finished == options.sessions ? totals.lastEnd : now()) - begun;
  printf(
      "{\"seconds\":%.4f,\"firstSeconds\":%.4f,\"bytes\":%llu,\"sessions\":%zu,\"finished\":%u,\"wrong\":%llu,\"blocks\":%llu,"
      "\"dataPackets\":%llu,"
      "\"acks\":%llu,\"clientCpuSeconds\":%.3f,\"error\":\"%s\"}\n",
      seconds, totals.firstEnd - begun, static_cast<unsigned long long>(options.sizeBytes * totals.finished), options.sessions,
      totals.finished, static_cast<unsigned long long>(totals.wrongOctets), static_cast<unsigned long long>(blocks),
      static_cast<unsigned long long>(totals.dataPackets), static_cast<unsigned long long>(totals.acksSent), cpuSeconds(),
      totals.error.c_str());
  return totals.finished == options.sessions && totals.wrongOctets == 0 ? 0 : 1;
}
