#include "wire/guard.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace tomogrid::wire {

void Guard::accepted(Instant now, int descriptor, Endpoint peer) {
  gone(descriptor);                               // a descriptor used again: the one before is gone, seen or not
  Visitor visitor;
  visitor.peer = std::move(peer);
  visitor.since = now;
  visitors_[descriptor] = std::move(visitor);
  if (++strangers_ <= limits_.strangers_max) return;
  Visitor* oldest = nullptr;
  for (auto& [other, candidate] : visitors_) {
    if (candidate.admitted || candidate.ended || candidate.condemned) continue;
    if (oldest == nullptr || candidate.since < oldest->since) oldest = &candidate;
  }
  if (oldest == nullptr) return;
  oldest->condemned = now;
  oldest->reason = "too many connections without hello";
}

void Guard::gone(int descriptor) {
  const auto found = visitors_.find(descriptor);
  if (found == visitors_.end()) return;
  if (!found->second.admitted && !found->second.ended) --strangers_;
  visitors_.erase(found);
}

void Guard::delivered(int descriptor, std::uint64_t bytes) {
  if (const auto found = visitors_.find(descriptor); found != visitors_.end()) found->second.delivered += bytes;
}

void Guard::admitted(int descriptor) {
  const auto found = visitors_.find(descriptor);
  if (found == visitors_.end() || found->second.admitted || found->second.ended) return;
  found->second.admitted = true;
  --strangers_;
}

void Guard::condemn(int descriptor, Instant when, std::string reason) {
  const auto found = visitors_.find(descriptor);
  if (found == visitors_.end() || (found->second.condemned && *found->second.condemned <= when)) return;
  found->second.condemned = when;
  found->second.reason = std::move(reason);
  found->second.told = true;
}

const Endpoint* Guard::find(int descriptor) const {
  const auto found = visitors_.find(descriptor);
  return found == visitors_.end() ? nullptr : &found->second.peer;
}

std::vector<Guard::Verdict> Guard::judge(Instant now,
                                         const std::function<std::optional<std::uint64_t>(int, const Endpoint&)>& received) {
  std::vector<Verdict> verdicts;
  for (auto& [descriptor, visitor] : visitors_) {
    if (visitor.ended) continue;
    std::string reason;
    if (visitor.condemned && *visitor.condemned <= now) {
      reason = visitor.reason;
    } else if (!visitor.admitted && now >= visitor.since + limits_.hello_timeout) {
      reason = "no hello within " + human_seconds(std::chrono::duration<double>(limits_.hello_timeout).count());
    } else if (const auto bytes = received(descriptor, visitor.peer)) {
      const double age = std::chrono::duration<double>(now - visitor.since).count();
      const std::uint64_t allowed = visitor.delivered + limits_.undelivered_max +
                                    static_cast<std::uint64_t>(age) * limits_.idle_bytes_per_second;
      if (*bytes > allowed) reason = human_bytes(*bytes - visitor.delivered) + " received without a whole message";
    }
    if (reason.empty()) continue;
    if (!visitor.admitted) --strangers_;
    visitor.ended = true;
    verdicts.push_back({descriptor, visitor.peer, std::move(reason), visitor.told});
  }
  return verdicts;
}

std::optional<Instant> Guard::next_deadline() const {
  std::optional<Instant> next;
  const auto consider = [&](Instant when) { next = next ? std::min(*next, when) : when; };
  for (const auto& [descriptor, visitor] : visitors_) {
    if (visitor.ended) continue;
    if (visitor.condemned) consider(*visitor.condemned);
    if (!visitor.admitted) consider(visitor.since + limits_.hello_timeout);
  }
  return next;
}

}  // namespace tomogrid::wire
