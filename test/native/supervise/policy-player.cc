// Plays the supervisor's policy over a clock of its own: a step a line on stdin ("120000 ended crash"), what it decides then on stdout.
#include <iostream>
#include <string>

#include "policy.h"

int main() {
  using rackboot::supervise::Milliseconds;
  rackboot::supervise::Policy policy({}, 0);
  Milliseconds at = 0;
  for (std::string word, detail; std::cin >> at >> word;) {
    if (word == "started") policy.started(at);
    if (word == "answered") policy.answered(at);
    if (word == "ended") {
      std::cin >> detail;
      policy.ended(at, detail == "orderly");
    }
    const bool person = word == "person";
    std::cout << (policy.should_start(at) ? "start " : "") << (policy.should_kill(at) ? "kill " : "")
              << (policy.serving() ? "serving " : "") << (policy.dead() ? "blink " : "") << (policy.should_feed(at, person) ? "feed " : "")
              << "delay=" << policy.delay(at) << "\n";
  }
}
