#include "options.hpp"

#include <getopt.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

namespace loadgen {
namespace {

constexpr const char* kHelp = R"(loadgen: an iSCSI initiator that measures and checks a target

  loadgen [run] [OPTIONS]        log in, load the target, report, log out
  loadgen discover [OPTIONS]     list the targets that the portal offers
  loadgen raw-server [OPTIONS]   answer `run --raw` with nothing behind it: the cost of TCP itself

Where
  --host ADDRESS --port PORT     portal (127.0.0.1, 3260); raw-server: where to listen, port 0 for any
  --target IQN                   default: the first that discovery lists
  --initiator IQN
  --lun N                        (0)
  --disks COUNT                  sessions are spread over this many disks: of targets 0 to COUNT-1 where the
                                 target's name holds a % to be replaced, of LUNs N to N+COUNT-1 otherwise (1)

What
  --mode read|write|mixed|idle   (read); idle logs in and waits
  --read-percent P               share of reads in mixed (50)
  --random                       default: sequential
  --block SIZE                   octets in one command, as 4K or 1M (4K)
  --depth Q                      commands in flight in each session (1)
  --sessions N --threads N       (1, 1)
  --region SIZE                  use this much from the start of each disk (all of it); sessions share it out
  --flush                        each write is followed by SYNCHRONIZE CACHE; both are one operation
  --cdb 10|16                    READ(10) or READ(16); 16 is taken where an address needs it (10)
  --seed N

How long
  --seconds S --warmup S         measured time after a warm-up that does not count (5, 0.2)
  --ops N                        end earlier, after so many operations
  --once                         end when each session has gone through its part of the disk, without a warm-up
  --timeout S                    a command or login that takes longer ends the run (30)

Checking
  --verify                       write: a pattern of address and generation, read back at the end
                                 read: check it; mixed: both
  --generation G                 first generation written, or the one that read expects (1)

Negotiation
  --initial-r2t  --no-immediate  --max-recv SIZE  --max-burst SIZE  --first-burst SIZE
  --max-r2t N  --digests none|header|data|both

Measuring
  --raw                          the peer is a raw-server
  --spin MICROSECONDS            poll this long before sleeping (0)
  --server-pid PID[,PID...]      report the processor time of these during the measured time
  --json                         one JSON object on standard output

Exit code: 0 done; 1 the target failed or contents differ; 2 wrong usage.
)";

std::uint64_t parseNumber(const std::string& name, const std::string& text, std::uint64_t most) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, value);
  std::uint64_t unit = 1;
  if (error == std::errc() && rest + 1 == end) {
    static const std::map<char, std::uint64_t> kUnits = {{'K', 1u << 10}, {'M', 1u << 20}, {'G', 1u << 30}, {'T', 1ull << 40}};
    const auto found = kUnits.find(*rest);
    if (found != kUnits.end()) {
      unit = found->second;
      ++rest;
    }
  }
  if (error != std::errc() || rest != end) throw UsageError("--" + name + ": " + text + " is not a number (sizes may end in K, M, G, T)");
  if (value > most / unit) throw UsageError("--" + name + ": " + text + " is more than " + std::to_string(most));
  return value * unit;
}

double parseSeconds(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 0) || value > kMaxSeconds)
    throw UsageError("--" + name + ": " + text + " is not a number of seconds from 0 to " + std::to_string(static_cast<int>(kMaxSeconds)));
  return value;
}

template <typename T>
T parseWord(const std::string& name, const std::string& text, const std::map<std::string, T>& words) {
  const auto found = words.find(text);
  if (found != words.end()) return found->second;
  std::string allowed;
  for (const auto& [word, value] : words) allowed += (allowed.empty() ? "" : ", ") + word;
  throw UsageError("--" + name + ": " + text + " is not one of " + allowed);
}

struct Setting {
  bool takesValue;
  std::function<void(const std::string& name, const std::string& value)> set;
};

template <typename T>
Setting number(T& to, std::uint64_t least, std::uint64_t most) {
  return {true, [&to, least, most](const std::string& name, const std::string& text) {
            const std::uint64_t value = parseNumber(name, text, most);
            if (value < least) throw UsageError("--" + name + ": " + text + " is less than " + std::to_string(least));
            to = static_cast<T>(value);
          }};
}
Setting seconds(double& to) {
  return {true, [&to](const std::string& name, const std::string& text) { to = parseSeconds(name, text); }};
}
Setting text(std::string& to) {
  return {true, [&to](const std::string&, const std::string& value) { to = value; }};
}
Setting flag(bool& to, bool value) {
  return {false, [&to, value](const std::string&, const std::string&) { to = value; }};
}

std::map<std::string, Setting> settingsOf(Options& o) {
  const Setting digests{true, [&o](const std::string& name, const std::string& value) {
                          const int bits = parseWord<int>(name, value, {{"none", 0}, {"header", 1}, {"data", 2}, {"both", 3}});
                          o.headerDigest = bits & 1;
                          o.dataDigest = bits & 2;
                        }};
  const Setting pids{true, [&o](const std::string& name, const std::string& value) {
                       for (std::size_t from = 0; from <= value.size();) {
                         const std::size_t to = std::min(value.find(',', from), value.size());
                         o.serverPids.push_back(static_cast<int>(parseNumber(name, value.substr(from, to - from), 1u << 30)));
                         from = to + 1;
                       }
                     }};
  return {
      {"host", text(o.host)},
      {"port", number(o.port, 0, 65535)},
      {"target", text(o.target)},
      {"initiator", text(o.initiator)},
      {"lun", number(o.lun, 0, 16383)},
      {"disks", number(o.disks, 1, 16383)},
      {"mode",
       {true,
        [&o](const std::string& name, const std::string& value) {
          o.mode = parseWord<Mode>(name, value,
                                   {{"read", Mode::kRead}, {"write", Mode::kWrite}, {"mixed", Mode::kMixed}, {"idle", Mode::kIdle}});
        }}},
      {"read-percent", number(o.readPercent, 0, 100)},
      {"random", flag(o.random, true)},
      {"block", number(o.blockBytes, 512, kMaxBlockBytes)},
      {"depth", number(o.depth, 1, kMaxDepth)},
      {"sessions", number(o.sessions, 1, kMaxSessions)},
      {"threads", number(o.threads, 1, kMaxThreads)},
      {"region", number(o.regionBytes, 512, std::uint64_t{1} << 60)},
      {"flush", flag(o.flush, true)},
      {"cdb",
       {true,
        [&o](const std::string& name, const std::string& value) {
          o.wideCdb = parseWord<bool>(name, value, {{"10", false}, {"16", true}});
        }}},
      {"seed", number(o.seed, 0, std::uint64_t{1} << 62)},
      {"warmup", seconds(o.warmupSeconds)},
      {"seconds", seconds(o.seconds)},
      {"once", flag(o.once, true)},
      {"ops", number(o.operations, 1, std::uint64_t{1} << 60)},
      {"timeout", seconds(o.timeoutSeconds)},
      {"verify", flag(o.verify, true)},
      {"generation", number(o.generation, 1, 0x7fffffff)},
      {"initial-r2t", flag(o.initialR2t, true)},
      {"no-immediate", flag(o.immediateData, false)},
      {"max-recv", number(o.maxRecvBytes, 512, (1u << 24) - 1)},
      {"max-burst", number(o.maxBurstBytes, 512, (1u << 24) - 1)},
      {"first-burst", number(o.firstBurstBytes, 512, (1u << 24) - 1)},
      {"max-r2t", number(o.maxOutstandingR2t, 1, 65535)},
      {"digests", digests},
      {"raw", flag(o.raw, true)},
      {"spin", number(o.spinMicroseconds, 0, 1000000)},
      {"server-pid", pids},
      {"json", flag(o.json, true)},
  };
}

void checkTogether(const Options& o) {
  if (o.blockBytes % 512 != 0) throw UsageError("--block: must be a multiple of 512");
  if (o.flush && o.mode != Mode::kWrite) throw UsageError("--flush: only with --mode write");
  if (o.once && (o.random || o.operations > 0)) throw UsageError("--once: goes in order, and ends by itself");
  if (o.raw && o.verify) throw UsageError("--raw: there is no disk behind it to --verify");
  if (o.raw && (o.headerDigest || o.dataDigest)) throw UsageError("--raw: knows no digests");
  if (o.threads > o.sessions) throw UsageError("--threads: more threads than sessions have nothing to do");
  if (o.firstBurstBytes > o.maxBurstBytes) throw UsageError("--first-burst: must not exceed --max-burst (RFC 7143, 13.14)");
  if (o.disks > 1 && o.sessions < o.disks) throw UsageError("--disks: needs at least as many --sessions");
}

}  // namespace

Options parseOptions(int argc, char** argv) {
  Options options;
  auto settings = settingsOf(options);
  std::vector<option> table;
  std::vector<std::string> names;
  for (const auto& [name, setting] : settings) {
    table.push_back({name.c_str(), setting.takesValue ? required_argument : no_argument, nullptr, 0});
    names.push_back(name);
  }
  table.push_back({"help", no_argument, nullptr, 'h'});
  table.push_back({});

  opterr = 0;
  for (int index = 0;;) {
    const int found = getopt_long(argc, argv, ":h", table.data(), &index);
    if (found == -1) break;
    if (found == 'h') {
      std::fputs(kHelp, stdout);
      std::exit(0);
    }
    if (found != 0) throw UsageError(std::string(argv[optind - 1]) + (found == ':' ? " needs a value" : " is unknown") + "; see --help");
    const std::string& name = names[static_cast<std::size_t>(index)];
    settings.at(name).set(name, optarg == nullptr ? "" : optarg);
  }
  if (optind < argc) {
    options.command = parseWord<Command>("command", argv[optind],
                                         {{"run", Command::kRun}, {"discover", Command::kDiscover}, {"raw-server", Command::kRawServer}});
    if (++optind < argc) throw UsageError(std::string(argv[optind]) + ": one command is enough");
  }
  checkTogether(options);
  return options;
}

}  // namespace loadgen
