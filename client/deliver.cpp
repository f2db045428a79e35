#include "client/deliver.h"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "client/receipt.h"
#include "client/scan.h"
#include "image/files.h"
#include "image/stream_format.h"

namespace tomogrid::client {

namespace {

// Above what image/ accepts at all.
constexpr Bytes kDataLimit = gibibytes(4);

std::filesystem::path output_path(const Streams& streams, const Record& record, const std::string& name) {
  return streams.path({record.attempts.at(*record.winner).job, name, 0});
}

bool has_output(const Record& record, const std::string& name) {
  return std::any_of(record.outputs.begin(), record.outputs.end(),
                     [&name](const auto& output) { return output.name == name; });
}

}  // namespace

bool outputs_are_here(const Streams& streams, const Record& record) {
  if (!record.winner) return false;
  return std::all_of(record.outputs.begin(), record.outputs.end(), [&](const job::StreamFact& output) {
    std::error_code error;
    return std::filesystem::file_size(output_path(streams, record, output.name), error) == output.length.count() &&
           !error;
  });
}

Result<std::string> output_text(const Streams& streams, const Record& record, const std::string& name) {
  if (!has_output(record, name)) return Error{ErrorCode::NotFound, "the result has no " + name};
  const auto content = read_file(output_path(streams, record, name), mebibytes(16));
  if (!content) return content.error();
  return std::string(text_of(*content));
}

namespace {

Result<image::Volume> read_volume(const Streams& streams, const Record& record, const char* header_name,
                                  const char* data_name) {
  const auto text = output_text(streams, record, header_name);
  if (!text) return text.error();
  const auto header = image::parse_volume_header(*text);
  if (!header) return header.error();
  const auto data = read_file(output_path(streams, record, data_name), kDataLimit);
  if (!data) return data.error();
  auto values = image::floats_of(*data, header->geometry.voxels());
  if (!values) return values.error();
  return image::Volume{header->geometry, *std::move(values), header->unit};
}

std::string deviation_path(const std::string& output) {
  for (const std::string extension : {".nii.gz", ".nii", ".hv"}) {
    if (output.ends_with(extension))
      return output.substr(0, output.size() - extension.size()) + ".deviation" + extension;
  }
  return std::filesystem::path(output).replace_extension(".deviation.nii.gz").string();
}

std::string passport_path(const std::string& output) {
  const std::string stem = output.ends_with(".nii.gz") ? output.substr(0, output.size() - 3) : output;
  return std::filesystem::path(stem).replace_extension(".passport.json").string();
}

// The passport with the node's account of the run as its member "run". Texts of the node are checked and joined, not
// parsed into a tree: its depth would be the node's choice.
Result<std::string> passport_text(const Streams& streams, const Record& record) {
  auto passport = output_text(streams, record, streams::passport);
  if (!passport) return passport;
  if (!nlohmann::json::accept(*passport)) return Error{ErrorCode::Unverified, "the node's passport is not JSON"};
  const auto run = output_text(streams, record, streams::run);
  const std::size_t end = passport->find_last_of('}');
  if (!run || end == std::string::npos) return passport;
  std::size_t last = passport->find_last_not_of(" \n\r\t", end - 1);
  std::string joined = passport->substr(0, last + 1) + ",\n  \"run\": " + *run + "}\n";
  return nlohmann::json::accept(joined) ? joined : *passport;
}

}  // namespace

Result<image::Volume> volume_of(const Streams& streams, const Record& record) {
  return read_volume(streams, record, streams::volume_header, streams::volume_data);
}

Result<std::vector<std::string>> deliver(const Streams& streams, const Record& record, const std::string& node_name,
                                         const Delivery& delivery) {
  std::vector<std::string> written;
  const auto receipt = wire::decode_receipt(record.receipt->receipt.body);
  if (!receipt) return receipt.error();
  ReceiptFile file{*record.receipt, {}};
  if (!delivery.outputs.empty()) {
    const auto volume = volume_of(streams, record);
    if (!volume) return volume.error();
    file.volume_header = output_text(streams, record, streams::volume_header).value();
    const auto identity = image::Identity::parse(delivery.identity);
    const image::ResultLabels labels{.software_version = TOMOGRID_VERSION, .parameters = delivery.parameters_in_words};
    for (const std::string& output : delivery.outputs) {
      const auto saved = image::save_volume(output, *volume, identity ? &*identity : nullptr, labels);
      if (!saved) return saved.error();
      written.push_back(output);
    }
    if (has_output(record, streams::deviation_data)) {
      const auto deviation = read_volume(streams, record, streams::deviation_header, streams::deviation_data);
      if (!deviation) return deviation.error();
      const std::string path = deviation_path(delivery.outputs.front());
      if (auto saved = image::save_volume(path, *deviation); !saved) return saved.error();
      written.push_back(path);
    }
    if (has_output(record, streams::passport)) {
      const auto text = passport_text(streams, record);
      if (!text) return text.error();
      const std::string path = passport_path(delivery.outputs.front());
      if (auto saved = write_file(path, bytes_of(*text)); !saved) return saved.error();
      written.push_back(path);
    }
  }
  if (!delivery.receipt.empty()) {
    if (auto saved = write_file(delivery.receipt, bytes_of(encode(file, *receipt, node_name))); !saved)
      return saved.error();
    written.push_back(delivery.receipt);
  }
  return written;
}

Result<void> can_deliver(const Delivery& delivery) {
  for (const std::string& output : delivery.outputs) {
    if (auto can = image::can_save_volume(output); !can) return can;
    std::filesystem::path folder = std::filesystem::path(output).parent_path();
    if (folder.empty()) folder = ".";
    if (!std::filesystem::is_directory(folder))
      return Error{ErrorCode::NotFound, "no folder " + folder.string() + " to write " + output + " into"};
    if (::access(folder.c_str(), W_OK | X_OK) != 0)
      return Error{ErrorCode::Storage, "folder " + folder.string() + " cannot be written to"};
  }
  return {};
}

}  // namespace tomogrid::client
