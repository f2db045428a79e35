#include "client/receipt.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "job/service.h"

namespace tomogrid::client {

using nlohmann::json;

namespace {

Error differs(const std::string& what) {
  return {ErrorCode::Unverified, "the node's receipt is not about this job: " + what + "; its result is not used"};
}

bool same_value(const job::ParameterValue& a, const job::ParameterValue& b) {
  const auto number = [](const job::ParameterValue& value) -> std::optional<double> {
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
    if (const auto* real = std::get_if<double>(&value)) return *real;
    return std::nullopt;
  };
  if (a == b) return true;
  const auto left = number(a), right = number(b);
  return left && right && *left == *right;
}

std::vector<job::StreamFact> by_name(std::vector<job::StreamFact> facts) {
  std::sort(facts.begin(), facts.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return facts;
}

json facts_in_words(const std::vector<job::StreamFact>& facts) {
  json list = json::array();
  for (const job::StreamFact& fact : facts) {
    list.push_back({{"name", fact.name}, {"bytes", fact.length.count()}, {"hash", to_hex(fact.root)}});
  }
  return list;
}

}  // namespace

bool contains(const job::Parameters& complete, const job::Parameters& given) {
  return std::all_of(given.begin(), given.end(), [&complete](const auto& one) {
    const auto found = complete.find(one.first);
    return found != complete.end() && same_value(found->second, one.second);
  });
}

Result<wire::Receipt> check_receipt(const certs::Signed& signed_receipt, const certs::SigningPublicKey& signer,
                                    const Expected& expected, const std::vector<job::StreamFact>& outputs) {
  if (auto good = certs::verify(signed_receipt, certs::kinds::receipt, signer); !good) return good.error();
  auto decoded = wire::decode_receipt(signed_receipt.body);
  if (!decoded) return Error{ErrorCode::Unverified, "the node's receipt cannot be read: " + decoded.error().message};
  const wire::Receipt& receipt = *decoded;
  if (receipt.federation != expected.federation) return differs("it names federation " + printable(receipt.federation));
  if (receipt.job != expected.job) return differs("it names job " + job::short_text(receipt.job));
  if (receipt.client != expected.client) return differs("it names client " + certs::short_text(receipt.client));
  if (receipt.node != expected.node) return differs("it names node " + certs::short_text(receipt.node));
  if (receipt.service != expected.service) return differs("it names service " + job::to_string(receipt.service));
  const auto parameters = job::parse_parameters(receipt.parameters);
  if (!parameters) return differs("its parameters cannot be read");
  if (!contains(*parameters, expected.parameters)) return differs("its parameters are not those that were asked");
  if (by_name(receipt.inputs) != by_name(expected.inputs)) return differs("its inputs are not what was sent");
  if (by_name(receipt.outputs) != by_name(outputs)) return differs("its outputs are not those that were announced");
  std::set<std::string> names;
  for (const job::StreamFact& output : receipt.outputs) {
    if (!names.insert(output.name).second) return differs("output " + printable(output.name) + " is in it twice");
  }
  for (const std::string& name : expected.outputs_required) {
    if (!names.contains(name)) return differs("output " + name + " is missing");
  }
  return decoded;
}

std::string encode(const ReceiptFile& file, const wire::Receipt& receipt, const std::string& node_name) {
  const json value{{"tomogrid_receipt", 1},
                   {"receipt", to_hex(certs::encode(file.kept.receipt))},
                   {"chain", to_hex(file.kept.chain)},
                   {"volume_header", file.volume_header},
                   {"in_words",
                    {{"federation", receipt.federation},
                     {"job", job::to_string(receipt.job)},
                     {"client", certs::to_string(receipt.client)},
                     {"node", certs::to_string(receipt.node)},
                     {"node_name", node_name},
                     {"service", job::to_string(receipt.service)},
                     {"worker_build", to_hex(receipt.worker_build)},
                     {"parameters", receipt.parameters},
                     {"inputs", facts_in_words(receipt.inputs)},
                     {"outputs", facts_in_words(receipt.outputs)},
                     {"finished", iso_time(receipt.finished.unix_ms)}}}};
  return value.dump(1) + "\n";
}

Result<ReceiptFile> decode_receipt_file(std::string_view text) {
  const auto bad = [](const std::string& why) {
    return Error{ErrorCode::BadInput, "not a Tomogrid receipt file (it is written beside a volume): " + why};
  };
  try {
    const json value = json::parse(text);
    if (value.at("tomogrid_receipt").get<int>() != 1) return bad("made by a newer version");
    const auto receipt = from_hex(value.at("receipt").get<std::string>());
    auto chain = from_hex(value.at("chain").get<std::string>());
    if (!receipt || !chain) return bad("a field is not hexadecimal");
    auto record = certs::decode_signed(*receipt);
    if (!record) return bad(record.error().message);
    return ReceiptFile{{*std::move(record), *std::move(chain)}, value.at("volume_header").get<std::string>()};
  } catch (const json::exception&) {
    return bad("a field is missing or of another type");
  }
}

Result<Judged> judge(const KeptReceipt& kept, const certs::Anchor& anchor, const certs::RevocationList& revocations) {
  auto receipt = wire::decode_receipt(kept.receipt.body);
  if (!receipt) return receipt.error();
  const auto chain = certs::decode_chain(kept.chain);
  if (!chain) return chain.error();
  // Removal ends what a node may do from then on; it does not undo what it signed before.
  certs::RevocationList then;
  then.federation = anchor.federation;
  auto verified = certs::verify_chain(*chain, anchor, receipt->finished, then);
  if (!verified) return verified.error();
  if (auto signature = certs::verify(kept.receipt, certs::kinds::receipt, verified->certificate.signing_key);
      !signature) {
    return signature.error();
  }
  if (verified->member != receipt->node) return differs("it is signed by another member than the node it names");
  if (!verified->certificate.roles.contains(certs::Role::Node)) return differs("its signer is not a node");
  if (receipt->federation != anchor.federation) return differs("it is of another federation");
  const bool revoked = revocations.revokes(verified->certificate.serial) || revocations.revokes(verified->member);
  return Judged{*std::move(receipt), std::move(verified->certificate), revoked};
}

}  // namespace tomogrid::client
