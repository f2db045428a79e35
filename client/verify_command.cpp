// `tomogrid verify`: is this volume what that node made of that scan? With --on: does another node make the same of it?
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "certs/content_hash.h"
#include "certs/files.h"
#include "client/commands.h"
#include "client/parameters.h"
#include "client/receipt.h"
#include "client/run.h"
#include "client/scan.h"
#include "client/scan_options.h"
#include "client/settings.h"
#include "image/files.h"
#include "image/stream_format.h"

namespace tomogrid::client {

namespace {

namespace fs = std::filesystem;

const job::StreamFact* find(const std::vector<job::StreamFact>& facts, const std::string& name) {
  const auto found = std::find_if(facts.begin(), facts.end(), [&name](const auto& fact) { return fact.name == name; });
  return found != facts.end() ? &*found : nullptr;
}

// Volume files hold lengths as 32-bit floats or as decimal text.
bool close(double a, double b) {
  return std::abs(a - b) <= 1e-4 * std::max({1.0, std::abs(a), std::abs(b)});
}

bool same_grid(const image::VolumeGeometry& a, const image::VolumeGeometry& b) {
  return a.columns == b.columns && a.rows == b.rows && a.slices == b.slices &&
         close(a.column_mm.count(), b.column_mm.count()) && close(a.row_mm.count(), b.row_mm.count()) &&
         close(a.slice_mm.count(), b.slice_mm.count()) && close(a.x0.count(), b.x0.count()) &&
         close(a.y0.count(), b.y0.count()) && close(a.z0.count(), b.z0.count());
}

Result<void> check_volume(const fs::path& path, const Judged& judged, const ReceiptFile& file) {
  const auto unverified = [&path](const std::string& why) {
    return Error{ErrorCode::Unverified, path.string() + " is not what the receipt is about: " + why};
  };
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return static_cast<char>(std::tolower(c)); });
  if (extension == ".dcm" || extension == ".png") {
    return Error{ErrorCode::Usage, path.string() +
                                       ": DICOM and PNG hold rounded numbers, so their bits prove nothing; verify the "
                                       ".nii, .nii.gz or .hv written with it"};
  }
  const job::StreamFact* header_fact = find(judged.receipt.outputs, streams::volume_header);
  const job::StreamFact* data_fact = find(judged.receipt.outputs, streams::volume_data);
  if (header_fact == nullptr || data_fact == nullptr) return unverified("it has no volume");
  if (certs::content_hash(bytes_of(file.volume_header)) != header_fact->root)
    return unverified("the header kept with the receipt was altered");
  const auto header = image::parse_volume_header(file.volume_header);
  if (!header) return header.error();
  const auto volume = image::load_volume(path, header->unit);
  if (!volume) return volume.error();
  if (!same_grid(volume->geometry, header->geometry))
    return unverified("its grid differs in size, spacing or position");
  if (certs::content_hash(image::as_bytes(volume->values)) != data_fact->root)
    return unverified("at least one voxel differs");
  return {};
}

struct InputCheck {
  std::vector<std::string> matched, unchecked;
};

std::optional<PreparedScan> scan_of(const Arguments& arguments) {
  const auto scan = arguments.optional_text("scan");
  if (!scan) return std::nullopt;
  return prepare_scan(*scan, load_options(arguments), attenuation_of(arguments), scatter_of(arguments, *scan))
      .or_throw();
}

Result<InputCheck> check_inputs(const Arguments& arguments, const std::optional<PreparedScan>& scan,
                                const Judged& judged) {
  InputCheck result;
  const std::vector<job::StreamFact> here = scan ? scan->facts : std::vector<job::StreamFact>{};
  for (const job::StreamFact& input : judged.receipt.inputs) {
    const job::StreamFact* own = find(here, input.name);
    if (own == nullptr) {
      result.unchecked.push_back(input.name);
    } else if (*own == input) {
      result.matched.push_back(input.name);
    } else {
      return Error{ErrorCode::Unverified,
                   "the receipt is about another " + input.name + " than the one in " + arguments.text("scan")};
    }
  }
  return result;
}

// The same job of the same inputs again at the node of --on, which must make every output alike: the bits of a service do
// not depend on the machine. Returns the node's name.
std::string compute_again(const Arguments& arguments, const PreparedScan& scan, const Judged& judged) {
  const TemporaryFolder folder;  // the new receipt is all that is kept of it, and only for now
  JobPlan plan;
  plan.request.service = judged.receipt.service;
  plan.request.parameters = job::parse_parameters(judged.receipt.parameters).or_throw();
  plan.request.needs = recon_needs(scan, 0, passes_of(plan.request.parameters));
  plan.request.inputs = scan.facts;
  plan.request.outputs_required = {streams::volume_header, streams::volume_data};
  plan.request.node = parse_node(arguments.text("on")).or_throw();
  plan.request.fresh = true;
  plan.inputs = scan.inputs;
  plan.delivery.receipt = (folder.path() / "again.receipt").string();
  Session session(arguments);
  const Outcome outcome = run_job(session, plan, std::nullopt, {.json = arguments.flag("json")});
  if (outcome.error) throw Failure(*outcome.error);
  if (outcome.detached)
    throw Failure(ErrorCode::Interrupted, "left before node " + outcome.node + " had computed it again");
  const auto text = read_file(plan.delivery.receipt, mebibytes(4)).or_throw();
  const ReceiptFile again = decode_receipt_file(text_of(text)).or_throw();  // the client has checked whose it is
  const wire::Receipt receipt = wire::decode_receipt(again.kept.receipt.body).or_throw();
  for (const char* name : {streams::volume_header, streams::volume_data}) {
    const job::StreamFact *before = find(judged.receipt.outputs, name), *now = find(receipt.outputs, name);
    if (before == nullptr || now == nullptr || before->root != now->root) {
      throw Failure(ErrorCode::Unverified,
                    "node " + outcome.node + " makes another " + name + " of the same scan and parameters than node " +
                        judged.node.subject + " did" +
                        (receipt.worker_build == judged.receipt.worker_build
                             ? ", with the same program: one of the two computes wrongly"
                             : "; their programs differ, so that may be another version"));
    }
  }
  return outcome.node;
}

int run_verify(const Arguments& arguments) {
  const fs::path volume = arguments.positional()[0], receipt_path = arguments.positional()[1];
  const auto content = read_file(receipt_path, mebibytes(4)).or_throw();
  const ReceiptFile file = decode_receipt_file(text_of(content)).or_throw();
  const fs::path folder = read_settings(arguments).folder;
  const auto anchor_file = arguments.optional_text("anchor");
  const auto bundle = certs::read_bundle(anchor_file ? fs::path(*anchor_file) : folder / "anchor.cert").or_throw();
  if (!bundle.anchor)
    throw Failure(ErrorCode::BadInput, "no authority in " + anchor_file.value_or((folder / "anchor.cert").string()));
  certs::RevocationList revocations;
  revocations.federation = bundle.anchor->federation;
  if (!anchor_file) revocations = certs::RevocationStore(certs::revocations_file(folder), *bundle.anchor).list();

  const Judged judged = judge(file.kept, *bundle.anchor, revocations).or_throw();
  check_volume(volume, judged, file).or_throw();
  const std::optional<PreparedScan> scan = scan_of(arguments);
  const InputCheck inputs = check_inputs(arguments, scan, judged).or_throw();
  std::optional<std::string> again;
  if (arguments.given("on")) {
    if (!scan || !inputs.unchecked.empty()) {
      throw Failure(ErrorCode::Usage,
                    "--on needs all that was sent: --scan with the options that were given then" +
                        (inputs.unchecked.empty() ? std::string() : "; missing: " + inputs.unchecked.front()));
    }
    again = compute_again(arguments, *scan, judged);
  }
  if (arguments.flag("json")) {
    nlohmann::json result{{"verified", true},
                          {"node", judged.node.subject},
                          {"service", job::to_string(judged.receipt.service)},
                          {"parameters", judged.receipt.parameters},
                          {"finished", iso_time(judged.receipt.finished.unix_ms)},
                          {"inputs_matched", inputs.matched},
                          {"inputs_not_checked", inputs.unchecked},
                          {"node_removed_since", judged.revoked_since}};
    if (again) result["computed_again_by"] = *again;
    std::cout << result.dump() << "\n";
    return 0;
  }
  std::cout << "verified: node " << judged.node.subject << " of federation " << judged.receipt.federation
            << " made exactly these voxels with " << job::to_string(judged.receipt.service) << " on "
            << iso_time(judged.receipt.finished.unix_ms) << "\n"
            << "parameters: " << judged.receipt.parameters << "\n";
  for (const std::string& name : inputs.matched) std::cout << "from this " << name << "\n";
  for (const std::string& name : inputs.unchecked)
    std::cout << "not checked: " << name << " (give --scan, with the options that were given then)\n";
  if (again)
    std::cout << "computed again by node " << *again << ": the same bits"
              << (*again == judged.node.subject ? " (it is the node that made them: another would say more)" : "") << "\n";
  if (judged.revoked_since) std::cout << "note: that node has been removed from the federation since\n";
  return 0;
}

std::vector<Option> verify_options() {
  std::vector<Option> options{{"scan", "FILE", "the acquisition that was sent, with the options that were given then"},
                              {"on", "NODE", "have this node compute it again, and compare every bit; needs --scan"},
                              {"anchor", "FILE", "the federation's authority [this member's]"}};
  for (Option& option : attenuation_options()) options.push_back(std::move(option));
  for (Option& option : scatter_options()) options.push_back(std::move(option));
  for (Option& option : scan_options()) options.push_back(std::move(option));
  return with_settings(std::move(options));
}

}  // namespace

Command verify_command() {
  return {.name = "tomogrid verify",
          .summary = "is this volume what that node made of that scan?",
          .usage = "VOLUME RECEIPT [--scan SCAN] [options]",
          .description =
              "Checks the node's certificate and signature, every voxel, and with --scan every count that was sent. It "
              "proves where a "
              "volume comes from, not that the computation was right: for that, --on has another node compute it again. "
              "Exit status 12 when something differs.",
          .options = verify_options(),
          .examples = {"tomogrid verify volume.nii.gz volume.nii.gz.receipt --scan scan.dcm",
                       "tomogrid verify volume.nii.gz volume.nii.gz.receipt --scan scan.dcm --on beta"},
          .positional_min = 2,
          .positional_max = 2,
          .run = run_verify};
}

}  // namespace tomogrid::client
