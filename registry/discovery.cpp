#include "registry/discovery.h"

#include <avahi-client/client.h>
#include <avahi-client/lookup.h>
#include <avahi-client/publish.h>
#include <avahi-common/alternative.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/strlst.h>
#include <avahi-common/timeval.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "base/log.h"
#include "base/text.h"
#include "registry/avahi_poll.h"

namespace tomogrid::registry {

namespace {

constexpr const char* kVersion = "1";
constexpr std::size_t kInstancesMax = 256;  // of one kind; who floods the local network fills no memory here
constexpr unsigned kRetryMs = 5000;

const char* service_type(certs::Role role) {
  return role == certs::Role::Registry ? "_tomogrid-registry._tcp" : "_tomogrid-node._tcp";
}

struct FreeStrings {
  void operator()(AvahiStringList* list) const { avahi_string_list_free(list); }
};
using Strings = std::unique_ptr<AvahiStringList, FreeStrings>;

Strings txt_of(const Presence& presence) {
  Strings list;
  const auto add = [&list](const std::string& text) {
    list.reset(avahi_string_list_add(list.release(), text.c_str()));
  };
  add(std::string("version=") + kVersion);
  add("name=" + presence.name);
  add("key=" + to_hex(presence.transport_key.bytes));
  if (presence.role == certs::Role::Node) {
    for (std::size_t i = 0; i < std::min<std::size_t>(presence.services.size(), 8); ++i)
      add("service=" + job::to_string(presence.services[i]));
    add("free=" + std::to_string(coarse_gflops(presence.free)));
  }
  return list;
}

std::optional<std::string> txt_value(AvahiStringList* list, const char* key) {
  AvahiStringList* found = avahi_string_list_find(list, key);
  if (found == nullptr) return std::nullopt;
  char* name = nullptr;
  char* value = nullptr;
  std::size_t size = 0;
  if (avahi_string_list_get_pair(found, &name, &value, &size) < 0) return std::nullopt;
  std::optional<std::string> text;
  if (value != nullptr) text = std::string(value, size);
  avahi_free(name);
  avahi_free(value);
  return text;
}

}  // namespace

std::uint64_t coarse_gflops(FlopRate rate) {
  const double gflops = rate.count() / 1e9;
  if (!(gflops >= 1)) return 0;
  return std::uint64_t{1} << std::min(62, static_cast<int>(std::floor(std::log2(gflops))));
}

struct Discovery::Implementation {
  // One announcement as the daemon shows it: the same instance appears once per interface and protocol.
  using InstanceKey = std::tuple<int, int, std::string, std::string>;  // interface, protocol, name, domain
  struct Kind;
  struct Instance {
    Kind* kind = nullptr;
    AvahiServiceResolver* resolver = nullptr;
    std::optional<wire::Suggestion> suggestion;
  };
  struct Kind {
    Implementation* owner = nullptr;
    certs::Role role = certs::Role::Registry;
    AvahiServiceBrowser* browser = nullptr;
    std::map<InstanceKey, Instance> instances;
  };

  std::function<void(const wire::Suggestion&)> suggest;
  certs::TransportPublicKey own;
  AvahiEpoll poll;
  AvahiClient* client = nullptr;
  AvahiTimeout* retry = nullptr;
  AvahiEntryGroup* group = nullptr;
  std::string instance_name;
  std::map<certs::Role, Kind> kinds;
  std::optional<Presence> presence;
  bool running = false, told_missing = false;

  ~Implementation() {
    forget_client();
    if (retry != nullptr) poll.table()->timeout_free(retry);
  }

  // ---- the daemon ----
  void connect() {
    if (client != nullptr) return;
    int error = 0;
    // NO_FAIL: waits by itself for a daemon to appear on the bus.
    client = avahi_client_new(poll.table(), AVAHI_CLIENT_NO_FAIL, on_client, this, &error);
    if (client == nullptr) {
      tell_missing(avahi_strerror(error));
      connect_later();
    }
  }
  void connect_later() {
    timeval due{};
    avahi_elapse_time(&due, kRetryMs, 0);
    if (retry == nullptr) {
      retry = poll.table()->timeout_new(
          poll.table(), &due, [](AvahiTimeout*, void* self) { static_cast<Implementation*>(self)->reconnect(); }, this);
    } else {
      poll.table()->timeout_update(retry, &due);
    }
  }
  void reconnect() {
    forget_client();
    connect();
  }
  void forget_client() {
    running = false;
    for (auto& [role, kind] : kinds) forget_instances(kind);
    for (auto& [role, kind] : kinds) kind.browser = nullptr;
    group = nullptr;  // freed with the client, as browsers are
    if (client != nullptr) avahi_client_free(client);
    client = nullptr;
  }
  // Nothing is said to be gone: what the daemon no longer tells may well be there.
  void forget_instances(Kind& kind) {
    for (auto& [key, instance] : kind.instances) {
      if (instance.resolver != nullptr) avahi_service_resolver_free(instance.resolver);
    }
    kind.instances.clear();
  }
  void tell_missing(const std::string& why) {
    if (std::exchange(told_missing, true)) return;
    log::warning(
        "discovery.unavailable",
        {{"reason", why}, {"remedy", "configured addresses are used; start avahi-daemon to find roles by themselves"}});
  }
  static void on_client(AvahiClient* client, AvahiClientState state, void* self) {
    static_cast<Implementation*>(self)->client_changed(client, state);
  }
  void client_changed(AvahiClient* which, AvahiClientState state) {
    client = which;  // called from within avahi_client_new() too
    switch (state) {
      case AVAHI_CLIENT_S_RUNNING:
        if (!running) log::info("discovery.running");
        running = true;
        told_missing = false;
        begin();
        break;
      case AVAHI_CLIENT_S_COLLISION:
      case AVAHI_CLIENT_S_REGISTERING:
        // The host's name is being settled; what we publish hangs on it and is published anew after it.
        if (group != nullptr) avahi_entry_group_reset(group);
        break;
      case AVAHI_CLIENT_CONNECTING:
        running = false;
        tell_missing("no avahi-daemon on this machine");
        break;
      case AVAHI_CLIENT_FAILURE:
        running = false;
        tell_missing(avahi_strerror(avahi_client_errno(which)));
        connect_later();  // not from within its own callback
        break;
    }
  }
  void begin() {
    for (auto& [role, kind] : kinds) begin_browsing(kind);
    publish_now();
  }

  // ---- seeing ----
  void begin_browsing(Kind& kind) {
    if (!running || kind.browser != nullptr) return;
    kind.browser = avahi_service_browser_new(client, AVAHI_IF_UNSPEC, AVAHI_PROTO_INET, service_type(kind.role),
                                             nullptr, AvahiLookupFlags{}, on_browse, &kind);
    if (kind.browser == nullptr) tell_missing(avahi_strerror(avahi_client_errno(client)));
  }
  static void on_browse(AvahiServiceBrowser*, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event,
                        const char* name, const char* type, const char* domain, AvahiLookupResultFlags, void* self) {
    Kind& kind = *static_cast<Kind*>(self);
    if (event == AVAHI_BROWSER_NEW) {
      kind.owner->appeared(kind, {interface, protocol, name, domain}, type);
    } else if (event == AVAHI_BROWSER_REMOVE) {
      kind.owner->vanished(kind, {interface, protocol, name, domain});
    }
  }
  void appeared(Kind& kind, const InstanceKey& key, const char* type) {
    if (kind.instances.size() >= kInstancesMax) return;
    const auto [found, fresh] = kind.instances.try_emplace(key);
    if (!fresh) return;
    Instance& instance = found->second;
    instance.kind = &kind;
    // Kept open: it tells of changed addresses and records.
    instance.resolver = avahi_service_resolver_new(client, std::get<0>(key), std::get<1>(key), std::get<2>(key).c_str(),
                                                   type, std::get<3>(key).c_str(), AVAHI_PROTO_INET, AvahiLookupFlags{},
                                                   on_resolve, &instance);
    if (instance.resolver == nullptr) kind.instances.erase(found);
  }
  static void on_resolve(AvahiServiceResolver*, AvahiIfIndex, AvahiProtocol, AvahiResolverEvent event, const char*,
                         const char*, const char*, const char*, const AvahiAddress* address, std::uint16_t port,
                         AvahiStringList* txt, AvahiLookupResultFlags, void* self) {
    Instance& instance = *static_cast<Instance*>(self);
    if (event != AVAHI_RESOLVER_FOUND || address == nullptr) return;
    instance.kind->owner->resolved(instance, *address, port, txt);
  }
  void resolved(Instance& instance, const AvahiAddress& address, std::uint16_t port, AvahiStringList* txt) {
    char host[AVAHI_ADDRESS_STR_MAX];
    avahi_address_snprint(host, sizeof host, &address);
    const auto version = txt_value(txt, "version"), name = txt_value(txt, "name"), key = txt_value(txt, "key");
    const auto bytes = key ? from_hex(*key) : std::nullopt;
    if (version != kVersion || !name || !job::is_name(*name) || !bytes || bytes->size() != 32 || port == 0) return;
    wire::Suggestion seen;
    seen.role = instance.kind->role;
    seen.name = *name;
    seen.host = host;
    seen.control_port = port;
    std::copy(bytes->begin(), bytes->end(), seen.transport_key.bytes.begin());
    if (seen.transport_key == own || instance.suggestion == seen) return;
    instance.suggestion = seen;
    suggest(seen);
  }
  void vanished(Kind& kind, const InstanceKey& key) {
    const auto found = kind.instances.find(key);
    if (found == kind.instances.end()) return;
    std::optional<wire::Suggestion> gone = found->second.suggestion;
    avahi_service_resolver_free(found->second.resolver);
    kind.instances.erase(found);
    if (!gone) return;
    const bool elsewhere = std::any_of(kind.instances.begin(), kind.instances.end(), [&gone](const auto& other) {
      return other.second.suggestion && other.second.suggestion->transport_key == gone->transport_key;
    });
    if (elsewhere) return;
    gone->gone = true;
    suggest(*gone);
  }

  // ---- being seen ----
  void publish_now() {
    if (!running || !presence) return;
    if (group == nullptr) group = avahi_entry_group_new(client, on_group, this);
    if (group == nullptr) return tell_missing(avahi_strerror(avahi_client_errno(client)));
    const Strings txt = txt_of(*presence);
    if (!avahi_entry_group_is_empty(group)) avahi_entry_group_reset(group);
    int error = avahi_entry_group_add_service_strlst(group, AVAHI_IF_UNSPEC, AVAHI_PROTO_INET, AvahiPublishFlags{},
                                                     instance_name.c_str(), service_type(presence->role), nullptr,
                                                     nullptr, presence->control_port, txt.get());
    if (error >= 0) error = avahi_entry_group_commit(group);
    if (error == AVAHI_ERR_COLLISION) return rename();
    if (error < 0) log::warning("discovery.publish-failed", {{"reason", avahi_strerror(error)}});
  }
  void update_txt() {
    if (!running || group == nullptr || avahi_entry_group_is_empty(group)) return publish_now();
    const Strings txt = txt_of(*presence);
    const int error = avahi_entry_group_update_service_txt_strlst(group, AVAHI_IF_UNSPEC, AVAHI_PROTO_INET,
                                                                  AvahiPublishFlags{}, instance_name.c_str(),
                                                                  service_type(presence->role), nullptr, txt.get());
    if (error < 0) publish_now();
  }
  static void on_group(AvahiEntryGroup* which, AvahiEntryGroupState state, void* self) {
    auto& me = *static_cast<Implementation*>(self);
    me.group = which;
    if (state == AVAHI_ENTRY_GROUP_COLLISION) me.rename();
    if (state == AVAHI_ENTRY_GROUP_FAILURE)
      log::warning("discovery.publish-failed", {{"reason", avahi_strerror(avahi_client_errno(me.client))}});
  }
  // Someone else on this network has the same instance name; it is only a label.
  void rename() {
    char* other = avahi_alternative_service_name(instance_name.c_str());
    instance_name = other;
    avahi_free(other);
    publish_now();
  }
};

Discovery::Discovery(std::function<void(const wire::Suggestion&)> suggest, const certs::TransportPublicKey& own)
    : implementation_(std::make_unique<Implementation>()) {
  implementation_->suggest = std::move(suggest);
  implementation_->own = own;
  implementation_->connect();
}

Discovery::~Discovery() = default;

int Discovery::descriptor() const {
  return implementation_->poll.descriptor();
}
void Discovery::dispatch() {
  implementation_->poll.dispatch();
}
bool Discovery::available() const {
  return implementation_->running;
}

void Discovery::browse(certs::Role role) {
  TOMOGRID_ASSERT(role == certs::Role::Registry || role == certs::Role::Node);
  auto& kind = implementation_->kinds[role];
  kind.owner = implementation_.get();
  kind.role = role;
  implementation_->begin_browsing(kind);
}

void Discovery::publish(const Presence& presence) {
  TOMOGRID_ASSERT(presence.role == certs::Role::Registry || presence.role == certs::Role::Node);
  auto& mine = *implementation_;
  if (mine.presence == presence) return;
  const bool only_figures =
      mine.presence && mine.presence->control_port == presence.control_port && mine.presence->role == presence.role;
  const bool same_txt = only_figures && coarse_gflops(mine.presence->free) == coarse_gflops(presence.free) &&
                        mine.presence->services == presence.services;
  // Instances must differ on one network: the key tells members of two federations with one name apart.
  if (!mine.presence)
    mine.instance_name = presence.name + " " + to_hex(ByteView(presence.transport_key.bytes).first(4));
  mine.presence = presence;
  if (same_txt) return;
  only_figures ? mine.update_txt() : mine.publish_now();
}

}  // namespace tomogrid::registry
