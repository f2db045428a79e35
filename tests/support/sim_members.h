// Small members for simulations of registry and manager: a node that announces and reserves, a member that watches, a
// client that asks. Each is its room's sub-machine with just enough around it; the real node and client have
// simulations of their own.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "certs/authority.h"
#include "registry/announcer.h"
#include "registry/dialer.h"
#include "registry/watcher.h"
#include "wire/machine.h"

namespace tomogrid::test {

// Members with the same keys for the same name, every time.
class Members final {
 public:
  explicit Members(const std::string& federation = "north") : authority_(federation) {}
  const certs::Identity& get(const std::string& name, certs::Roles roles) {
    auto& identity = identities_[name];
    if (!identity) {
      std::array<std::uint8_t, 32> seed{};
      std::copy_n(name.begin(), std::min(name.size(), seed.size()), seed.begin());
      identity =
          certs::make_identity(authority_, name, roles, WallTime{1'790'000'000'000}, certs::SecretKeys::from_seed(seed))
              .or_throw();
    }
    return *identity;
  }

 private:
  certs::Authority authority_;
  std::map<std::string, std::unique_ptr<certs::Identity>> identities_;
};

inline const job::ServiceName kSpect{"recon.spect", 1};

// An idle node of `cores` cores at `rate` FLOP/s each, with room for anything else.
inline wire::Advert idle_node(std::uint32_t cores, double rate, std::uint64_t boot = 1) {
  wire::Advert advert;
  advert.boot = boot;
  advert.routes = {{"direct", "nowhere", 1}};
  advert.services = {kSpect};
  advert.cores_total = advert.cores_free = cores;
  advert.rate_per_core = FlopRate(rate);
  advert.memory_free = advert.memory_total = gibibytes(64);
  advert.scratch_free = advert.scratch_total = gibibytes(64);
  advert.software = "test";
  return advert;
}

class AnnouncingNode final : public wire::Machine {
 public:
  AnnouncingNode(const certs::Identity& identity, std::vector<wire::Target> registries, wire::Advert content)
      : announcer_(identity, registry::AnnouncerOptions{.registries = std::move(registries)}),
        content_(std::move(content)) {}

  wire::Effects handle(const wire::Now& now, const wire::Event& event) override {
    wire::Effects effects = announcer_.handle(now, event);
    const auto add = [&effects](wire::Effects more) {
      std::move(more.begin(), more.end(), std::back_inserter(effects));
    };
    if (std::holds_alternative<wire::Entropy>(event)) add(announcer_.publish(now, content_));
    const auto* received = std::get_if<wire::Received>(&event);
    if (received == nullptr) return effects;
    if (const auto* reserve = std::get_if<wire::Reserve>(&received->message))
      add(on_reserve(now, received->peer, *reserve));
    if (const auto* release = std::get_if<wire::Release>(&received->message)) add(give_back(now, release->ticket));
    return effects;
  }
  wire::Effects advance(const wire::Now& now) override { return announcer_.advance(now); }
  std::optional<Instant> next_deadline() const override { return announcer_.next_deadline(); }

  // The content of the next advert: change it, then publish().
  wire::Advert& content() { return content_; }
  wire::Effects publish(const wire::Now& now) { return announcer_.publish(now, content_); }
  wire::Effects withdraw(const wire::Now& now) { return announcer_.withdraw(now); }
  const registry::Announcer& announcer() const { return announcer_; }
  const std::map<job::TicketId, wire::Ticket>& reserved() const { return reserved_; }
  std::size_t refused() const { return refused_; }
  // A job that came with this ticket has ended, or its reservation.
  wire::Effects give_back(const wire::Now& now, const job::TicketId& ticket) {
    const auto found = reserved_.find(ticket);
    if (found == reserved_.end()) return {};
    content_.cores_free += found->second.grant.cores;
    reserved_.erase(found);
    return publish(now);
  }

 private:
  wire::Effects on_reserve(const wire::Now& now, const wire::Peer& manager, const wire::Reserve& reserve) {
    const auto ticket = wire::decode_ticket(reserve.ticket.body).or_throw();
    if (reserved_.contains(ticket.id)) return {wire::Send{manager.id, wire::Reserved{ticket.id}}};
    if (ticket.boot != content_.boot || ticket.grant.cores > content_.cores_free) {
      ++refused_;
      return {wire::Send{manager.id, wire::ReserveRefused{ticket.id, "capacity", "asked more cores than are free"}}};
    }
    reserved_[ticket.id] = ticket;
    content_.cores_free -= ticket.grant.cores;
    content_.recent_tickets.push_back(ticket.id);
    if (content_.recent_tickets.size() > 100) content_.recent_tickets.erase(content_.recent_tickets.begin());
    wire::Effects effects = publish(now);
    effects.push_back(wire::Send{manager.id, wire::Reserved{ticket.id}});
    return effects;
  }

  registry::Announcer announcer_;
  wire::Advert content_;
  std::map<job::TicketId, wire::Ticket> reserved_;
  std::size_t refused_ = 0;
};

class WatchingMember final : public wire::Machine {
 public:
  explicit WatchingMember(std::vector<wire::Target> registries, registry::WatcherOptions options = {})
      : watcher_(std::move(registries), options) {}
  wire::Effects handle(const wire::Now& now, const wire::Event& event) override { return watcher_.handle(now, event); }
  wire::Effects advance(const wire::Now& now) override { return watcher_.advance(now); }
  std::optional<Instant> next_deadline() const override { return watcher_.next_deadline(); }
  const registry::Watcher& watcher() const { return watcher_; }
  bool lists(const certs::MemberId& node) const { return watcher_.find(node) != nullptr; }

 private:
  registry::Watcher watcher_;
};

class AskingClient final : public wire::Machine {
 public:
  explicit AskingClient(wire::Target manager) : manager_(std::move(manager)) {}
  wire::Effects handle(const wire::Now& now, const wire::Event& event) override {
    wire::Effects effects;
    if (std::holds_alternative<wire::Entropy>(event)) links_.want(now, manager_, effects);
    if (const auto* up = std::get_if<wire::PeerUp>(&event)) {
      if (links_.on(now, *up, effects)) {
        for (const auto& [request, place] : open_) effects.push_back(wire::Send{up->peer.id, place});
      }
    }
    if (const auto* down = std::get_if<wire::PeerDown>(&event)) links_.on(now, *down);
    if (const auto* failed = std::get_if<wire::ConnectFailed>(&event)) links_.on(now, *failed);
    if (const auto* received = std::get_if<wire::Received>(&event)) {
      if (const auto* waiting = std::get_if<wire::Waiting>(&received->message)) waiting_[waiting->request] = *waiting;
      if (const auto* placed = std::get_if<wire::Placed>(&received->message)) {
        open_.erase(placed->request);
        placed_[placed->request] = *placed;
      }
      if (const auto* never = std::get_if<wire::Unplaceable>(&received->message)) {
        open_.erase(never->request);
        unplaceable_[never->request] = *never;
      }
    }
    return effects;
  }
  wire::Effects advance(const wire::Now& now) override {
    wire::Effects effects;
    links_.advance(now, effects);
    return effects;
  }
  std::optional<Instant> next_deadline() const override { return links_.next_deadline(); }

  // Asked when the session stands, and again in a new session until it is answered.
  wire::Effects place(wire::Place place) {
    open_[place.request] = place;
    return say(std::move(place));
  }
  wire::Effects cancel(const job::RequestId& request) {
    open_.erase(request);
    return say(wire::CancelPlace{request});
  }
  const std::map<job::RequestId, wire::Waiting>& waiting() const { return waiting_; }
  const std::map<job::RequestId, wire::Placed>& placed() const { return placed_; }
  const std::map<job::RequestId, wire::Unplaceable>& unplaceable() const { return unplaceable_; }

 private:
  wire::Effects say(wire::Message message) {
    const auto* link = links_.find(manager_.transport_key);
    if (link == nullptr || !link->peer) return {};
    return {wire::Send{link->peer->id, std::move(message)}};
  }
  wire::Target manager_;
  registry::Dialer links_{std::uint64_t{1} << 58};
  std::map<job::RequestId, wire::Place> open_;
  std::map<job::RequestId, wire::Waiting> waiting_;
  std::map<job::RequestId, wire::Placed> placed_;
  std::map<job::RequestId, wire::Unplaceable> unplaceable_;
};

template <class IdType>
IdType id_of(std::uint64_t number) {
  IdType id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
  id.bytes[15] = 1;
  return id;
}

// Request `number`: at least `cores_min` cores, at most `cores_max` (0: all that are free).
inline wire::Place place_request(std::uint64_t number, std::uint32_t cores_min = 1, std::uint32_t cores_max = 0) {
  wire::Place place;
  place.request = id_of<job::RequestId>(number);
  place.job = id_of<job::JobId>(number);
  place.service = kSpect;
  place.needs.cores_min = cores_min;
  place.needs.cores_max = cores_max;
  place.needs.memory = gibibytes(1);
  place.needs.scratch = mebibytes(256);
  return place;
}

}  // namespace tomogrid::test
