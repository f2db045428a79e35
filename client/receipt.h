// Is this result what that node made of that scan? The checks on a receipt, and the file that is kept beside a volume.
// Pure.
//
// A receipt proves binding (this node says: from these inputs, with these parameters, came these outputs), not that the
// computation was right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "certs/certificate.h"
#include "client/record.h"
#include "wire/messages.h"

namespace tomogrid::client {

// What a receipt must say for the client to take a result.
struct Expected {
  std::string federation;
  job::JobId job;
  certs::MemberId client;
  certs::MemberId node;
  job::ServiceName service;
  job::Parameters parameters;                 // as given; the node may have added defaults
  std::vector<job::StreamFact> inputs;        // exactly these
  std::vector<std::string> outputs_required;  // at least these
};

// The receipt's content when `receipt` is signed by `signer` and says all of `expected`, and its outputs are those of
// `outputs` (what the node's status announced). Unverified otherwise, naming the first thing that differs.
Result<wire::Receipt> check_receipt(const certs::Signed& receipt, const certs::SigningPublicKey& signer,
                                    const Expected& expected, const std::vector<job::StreamFact>& outputs);

// Whether every one of `given` is in `complete` with the same value (a whole number equals the same number).
bool contains(const job::Parameters& complete, const job::Parameters& given);

// The file beside a volume: the receipt as signed with its signer's chain, the header of the volume (whose hash the
// receipt holds), and the same in words. Nothing in it says whose scan it was.
struct ReceiptFile {
  KeptReceipt kept;
  std::string volume_header;  // content of output "volume.json"; empty: there is none
};
std::string encode(const ReceiptFile& file, const wire::Receipt& receipt, const std::string& node_name);
Result<ReceiptFile> decode_receipt_file(std::string_view json);

// A receipt judged on its own, possibly years later: signed by a node of this federation whose certificate held at
// the time that the receipt says.
struct Judged {
  wire::Receipt receipt;
  certs::Certificate node;
  bool revoked_since = false;  // the node has been removed from the federation
};
Result<Judged> judge(const KeptReceipt& kept, const certs::Anchor& anchor, const certs::RevocationList& revocations);

}  // namespace tomogrid::client
