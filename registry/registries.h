// Pure: sessions to every registry that is configured or that discovery has seen. What the watcher and the announcer
// share.
//
// Discovery is not trusted, so it can neither displace a configured registry nor make us dial without bound: at most
// `suggested_max` suggestions are followed, and when there are more, the one that has failed most often gives way.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "registry/dialer.h"
#include "wire/machine.h"

namespace tomogrid::registry {

class Registries final {
 public:
  static constexpr std::size_t suggested_max = 16;
  Registries(std::uint64_t mark, std::vector<wire::Target> configured)
      : configured_(std::move(configured)), dialer_(mark) {}

  struct Change {
    Dialer::Key registry;
    bool up = false;  // false: its session ended, or the dial failed
  };
  // Takes Discovered, PeerUp, PeerDown and ConnectFailed; nullopt when nothing of ours has changed. The first call
  // dials.
  std::optional<Change> handle(const wire::Now& now, const wire::Event& event, wire::Effects& effects);
  void advance(const wire::Now& now, wire::Effects& effects);
  std::optional<Instant> next_deadline() const;

  const Dialer& links() const { return dialer_; }

 private:
  void begin(const wire::Now& now, wire::Effects& effects);
  void suggest(const wire::Now& now, const wire::Suggestion& suggestion, wire::Effects& effects);
  bool make_room(wire::Effects& effects);

  std::vector<wire::Target> configured_;
  std::set<Dialer::Key> suggested_;
  Dialer dialer_;
  bool begun_ = false;
};

}  // namespace tomogrid::registry
