#include "certs/show.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace tomogrid::certs {

namespace {

using Json = nlohmann::ordered_json;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string may_do(Roles roles) {
  std::vector<std::string> verbs;
  for (const Permission& line : permissions()) {
    if (line.roles.intersects(roles)) verbs.emplace_back(line.name);
  }
  return joined(verbs);
}

std::string days(std::chrono::milliseconds length) {
  return human_seconds(static_cast<double>(length.count()) / 1000.0);
}

std::string remaining(WallTime until, WallTime now) {
  const auto left = std::chrono::duration_cast<std::chrono::hours>(until - now).count();
  if (left < 0) return "over";
  return left >= 48 ? std::to_string(left / 24) + " days left" : std::to_string(left) + " hours left";
}

std::string in_words(const Anchor& anchor) {
  return "Federation " + anchor.federation + "\n  authority    " + to_string(member_id(anchor.authority)) +
         "\n               compare this with what the federation's administrator tells you, by another way\n";
}

std::string in_words(const CertificateRequest& r) {
  std::ostringstream text;
  text << "Request for a certificate, signed with its own key\n"
       << "  name         " << r.subject << "\n"
       << "  member id    " << to_string(member_id(r.signing_key)) << "\n"
       << "  wants to be  " << to_string(r.roles) << "\n";
  if (!r.groups.empty()) text << "  in groups    " << joined(r.groups) << "\n";
  if (!r.federation.empty()) text << "  federation   " << r.federation << "\n";
  text << "  made         " << iso_time(r.made.unix_ms) << "\n";
  return text.str();
}

std::string in_words(const RevocationList& list, WallTime now) {
  std::ostringstream text;
  text << "Revocation list " << list.number << " of federation " << list.federation << ", signed "
       << iso_time(list.issued.unix_ms) << (now > list.stale_after ? " (stale: a newer one is due)" : "") << "\n";
  if (list.entries.empty()) text << "  nobody is revoked\n";
  for (const Revocation& r : list.entries) {
    text << "  " << to_string(r.member) << " since " << iso_time(r.revoked.unix_ms) << " (certificate "
         << to_string(r.serial) << ")\n";
  }
  return text.str();
}

std::string list_in_words(const Signed& record, const Judge& judge) {
  if (judge.anchor) {
    const auto list = verify_revocations(record, *judge.anchor);
    return list ? in_words(*list, judge.now) : "Revocation list REFUSED: " + list.error().message + "\n";
  }
  const auto list = decode_revocations(record.body);
  return list ? "NOT CHECKED (no anchor): " + in_words(*list, judge.now)
              : "Revocation list: " + list.error().message + "\n";
}

std::string chain_in_words(const CertificateChain& chain, const Judge& judge) {
  std::string text;
  if (!judge.anchor) {
    text = "NOT CHECKED: no anchor to check it against; give --anchor FILE\n";
  } else {
    const auto verified =
        verify_chain(chain, *judge.anchor, judged_time(judge.now, judge.revocations.issued), judge.revocations);
    text = verified ? "VALID in federation " + judge.anchor->federation + " until " +
                          iso_time(verified->valid_until.unix_ms) + " (" + remaining(verified->valid_until, judge.now) +
                          ")\n"
                    : "REFUSED: " + verified.error().message + "\n";
  }
  for (const Signed& link : chain.links) {
    const auto certificate = decode_certificate(link.body);
    text += certificate ? in_words(*certificate) : "Certificate: " + certificate.error().message + "\n";
  }
  return text;
}

Json issuing_json(const IssuingLimits& limits) {
  return {{"roles", to_string(limits.roles)},
          {"validity_max_ms", limits.validity_max.count()},
          {"name_suffix", limits.name_suffix},
          {"groups", limits.groups},
          {"may_delegate", limits.may_delegate}};
}

Json list_json(const RevocationList& list) {
  Json entries = Json::array();
  for (const Revocation& r : list.entries) {
    entries.push_back({{"member", to_string(r.member)},
                       {"serial", to_string(r.serial)},
                       {"revoked", iso_time(r.revoked.unix_ms)},
                       {"not_after", iso_time(r.not_after.unix_ms)}});
  }
  return {{"federation", list.federation},
          {"number", list.number},
          {"issued", iso_time(list.issued.unix_ms)},
          {"stale_after", iso_time(list.stale_after.unix_ms)},
          {"entries", entries}};
}

Json request_json(const CertificateRequest& r) {
  return {{"name", r.subject},           {"member", to_string(member_id(r.signing_key))},
          {"roles", to_string(r.roles)}, {"groups", r.groups},
          {"federation", r.federation},  {"made", iso_time(r.made.unix_ms)}};
}

Json chain_json(const CertificateChain& chain, const Judge& judge) {
  Json out;
  if (judge.anchor) {
    const auto verified =
        verify_chain(chain, *judge.anchor, judged_time(judge.now, judge.revocations.issued), judge.revocations);
    out["valid"] = verified.has_value();
    if (verified)
      out["valid_until"] = iso_time(verified->valid_until.unix_ms);
    else
      out["refused"] = verified.error().message;
  } else {
    out["valid"] = nullptr;
  }
  out["certificates"] = Json::array();
  for (const Signed& link : chain.links) {
    const auto certificate = decode_certificate(link.body);
    out["certificates"].push_back(certificate ? as_json(*certificate) : Json{{"error", certificate.error().message}});
  }
  return out;
}

}  // namespace

std::string in_words(const Certificate& c) {
  std::ostringstream text;
  text << "Certificate of " << c.subject << "\n"
       << "  is           " << to_string(c.roles) << " in federation " << c.federation << "\n"
       << "  member id    " << to_string(c.member()) << "\n"
       << "  valid        " << iso_time(c.not_before.unix_ms) << " to " << iso_time(c.not_after.unix_ms) << "\n";
  if (!c.groups.empty()) text << "  groups       " << joined(c.groups) << "\n";
  text << "  may          " << may_do(c.roles) << "\n"
       << "  at one node  " << c.quota.jobs << " jobs at once, " << human_bytes(c.quota.scratch.count())
       << " of scratch, " << c.quota.opens_per_minute << " openings a minute\n"
       << "  connects as  " << z85(c.transport_key) << "\n"
       << "  issued by    " << to_string(c.issuer) << " on " << iso_time(c.issued.unix_ms) << "\n"
       << "  serial       " << to_string(c.serial) << "\n";
  if (c.issuing) {
    text << "  may issue    " << to_string(c.issuing->roles) << " certificates for up to "
         << days(c.issuing->validity_max)
         << (c.issuing->name_suffix.empty() ? "" : ", names ending in " + c.issuing->name_suffix)
         << (c.issuing->may_delegate ? ", and issuing certificates" : "") << "\n";
  }
  return text.str();
}

std::string in_words(const Bundle& bundle, const Judge& judge) {
  std::string text;
  if (bundle.chain) text += chain_in_words(*bundle.chain, judge);
  if (bundle.request) {
    const auto request = verify_request(*bundle.request);
    text += request ? in_words(*request) : "Request REFUSED: " + request.error().message + "\n";
  }
  if (bundle.anchor) text += in_words(*bundle.anchor);
  if (bundle.revocations) text += list_in_words(*bundle.revocations, judge);
  return text;
}

Json as_json(const Certificate& c) {
  Json out{{"name", c.subject},
           {"member", to_string(c.member())},
           {"federation", c.federation},
           {"roles", to_string(c.roles)},
           {"groups", c.groups},
           {"serial", to_string(c.serial)},
           {"issuer", to_string(c.issuer)},
           {"issued", iso_time(c.issued.unix_ms)},
           {"not_before", iso_time(c.not_before.unix_ms)},
           {"not_after", iso_time(c.not_after.unix_ms)},
           {"transport_key", z85(c.transport_key)},
           {"quota",
            {{"jobs", c.quota.jobs},
             {"scratch_bytes", c.quota.scratch.count()},
             {"opens_per_minute", c.quota.opens_per_minute}}}};
  if (c.issuing) out["issuing"] = issuing_json(*c.issuing);
  return out;
}

Json as_json(const Bundle& bundle, const Judge& judge) {
  Json out;
  if (bundle.chain) out["chain"] = chain_json(*bundle.chain, judge);
  if (bundle.request) {
    const auto request = verify_request(*bundle.request);
    out["request"] = request ? request_json(*request) : Json{{"refused", request.error().message}};
  }
  if (bundle.anchor) {
    out["anchor"] = {{"federation", bundle.anchor->federation},
                     {"authority", to_string(member_id(bundle.anchor->authority))}};
  }
  if (bundle.revocations) {
    const auto list = judge.anchor ? verify_revocations(*bundle.revocations, *judge.anchor)
                                   : decode_revocations(bundle.revocations->body);
    out["revocations"] = list ? list_json(*list) : Json{{"refused", list.error().message}};
  }
  return out;
}

}  // namespace tomogrid::certs
