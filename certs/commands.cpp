// `tomogrid certs ...`: options in, one call into this folder, words or JSON out.
#include "certs/commands.h"

#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "certs/audit.h"
#include "certs/authority.h"
#include "certs/files.h"
#include "certs/member.h"
#include "certs/show.h"

namespace tomogrid::certs {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const Option kMember{"member", "NAME",
                     "which member of this machine, when there are several: $TOMOGRID_HOME/members/NAME"};
const Option kFolder{"folder", "DIR", "the member's folder itself, wherever it is"};
const Option kPassphraseFile{
    "passphrase-file", "FILE",
    "file of mode 0600 with the passphrase; else TOMOGRID_PASSPHRASE, else the terminal is asked"};
const Option kAuthority{"authority", "DIR", "the authority's folder; $TOMOGRID_HOME/authority when not given"};
const Option kOutput{"output,o", "FILE", "where to write what is to be handed on"};

constexpr const char* kPassphraseText =
    "A passphrase is read from --passphrase-file, from the environment variable TOMOGRID_PASSPHRASE (which other "
    "programs "
    "of the same user can read), or from the terminal without echo; never from the command line.";

WallTime wall_now() {
  return SystemClock().wall();
}

std::unique_ptr<Passphrase> ask_passphrase(const Arguments& arguments, const std::string& prompt, bool confirm) {
  PassphraseSource source;
  if (const auto file = arguments.optional_text("passphrase-file")) source.file = *file;
  source.prompt = prompt;
  source.confirm = confirm;
  return read_passphrase(source).or_throw();
}

fs::path authority_of(const Arguments& arguments) {
  const auto given = arguments.optional_text("authority");
  return given ? fs::path(*given) : authority_folder(tomogrid_home());
}

Roles roles_of(const Arguments& arguments) {
  Roles roles;
  for (const std::string& text : arguments.texts("role")) {
    const auto role = parse_role(text);
    if (!role) {
      throw Failure(ErrorCode::Usage,
                    "--role " + text + ": one of " + to_string(kUserRoles) + " or of " + to_string(kManagementRoles));
    }
    roles = roles | *role;
  }
  return roles;
}

void say(const Arguments& arguments, const Json& json, const std::string& words) {
  if (arguments.flag("json"))
    std::cout << json.dump() << "\n";
  else
    std::cout << words;
}

// --- init ---

int run_init(const Arguments& arguments) {
  const fs::path folder = authority_of(arguments);
  const auto passphrase = ask_passphrase(arguments, "new passphrase of the authority", true);
  const Anchor anchor = create_authority(folder, arguments.text("federation"), *passphrase, wall_now()).or_throw();
  const std::string id = to_string(member_id(anchor.authority));
  say(arguments, {{"federation", anchor.federation}, {"authority", id}, {"folder", folder.string()}},
      "federation " + anchor.federation + " has an authority in " + folder.string() + "\n  authority    " + id +
          "\nKeep this folder off the network and its passphrase elsewhere: without both, nobody can be added or "
          "removed.\n");
  return 0;
}

Command init_command() {
  return {.name = "tomogrid certs init",
          .summary = "make a federation's authority: its one root of trust",
          .usage = "--federation NAME [options]",
          .description = std::string("Makes an Ed25519 key, sealed with a passphrase, and an empty revocation list. ") +
                         kPassphraseText,
          .options = {{"federation", "NAME", "name of the federation: a-z, 0-9, dot and hyphen"},
                      kAuthority,
                      kPassphraseFile},
          .examples = {"tomogrid certs init --federation north-hospitals",
                       "tomogrid certs init --federation trial --passphrase-file pass.txt --authority ./authority"},
          .run = run_init};
}

// --- request ---

int run_request(const Arguments& arguments) {
  const fs::path folder = identity_folder(arguments);
  const bool sealed = arguments.flag("sealed") || arguments.given("passphrase-file");
  const auto passphrase = sealed ? ask_passphrase(arguments, "new passphrase of these keys", true) : nullptr;
  const NewMember member{.name = arguments.text("name"),
                         .roles = roles_of(arguments),
                         .groups = arguments.texts("group"),
                         .federation = arguments.optional_text("federation").value_or("")};
  Bundle bundle;
  bundle.request = create_member(folder, member, wall_now(), passphrase.get()).or_throw();
  fs::path file = folder / "request.cert";
  if (const auto output = arguments.optional_text("output")) {
    file = *output;
    write_bundle(file, bundle).or_throw();
  }
  const Judge judge{.now = wall_now()};
  Json json = as_json(bundle, judge);
  json["file"] = file.string();
  say(arguments, json,
      in_words(bundle, judge) + "Send " + file.string() +
          " to the federation's authority, and tell its keeper the member id by another way (telephone).\n");
  return 0;
}

Command request_command() {
  return {
      .name = "tomogrid certs request",
      .summary = "make a member's keys on this machine, and a request for its certificate",
      .usage = "--name NAME --role ROLE [--role ROLE] [options]",
      .description = std::string("Private keys stay in the member's folder and never travel. With --sealed they are "
                                 "encrypted with a passphrase, which is then needed at every start. ") +
                     kPassphraseText,
      .options = {{"name", "NAME", "the member's name in the federation: a-z, 0-9, dot and hyphen"},
                  {"role",
                   "ROLE",
                   "what it wants to be: clinician, researcher, developer; or node, registry, manager, admin, auditor",
                   {},
                   true},
                  {"group", "GROUP", "a group it belongs to, such as a hospital", {}, true},
                  {"federation", "NAME", "the federation that it asks; any when not given"},
                  {"sealed", "", "encrypt the keys with a passphrase"},
                  kMember,
                  kFolder,
                  kPassphraseFile,
                  kOutput},
      .examples = {"tomogrid certs request --name alice.hospital-a --role clinician --sealed",
                   "tomogrid certs request --name node1.hospital-b --role node --member node1 -o node1.request"},
      .run = run_request};
}

// --- issue ---

Terms terms_of(const Arguments& arguments, const CertificateRequest& request) {
  Terms terms;
  terms.roles = arguments.given("role") ? roles_of(arguments) : request.roles;
  terms.groups = arguments.given("group") ? arguments.texts("group") : request.groups;
  terms.validity = std::chrono::hours(24 * arguments.integer("days", 1, 3650));
  terms.quota.jobs = static_cast<std::uint32_t>(arguments.integer("jobs", 1, 100000));
  terms.quota.scratch = gibibytes(static_cast<std::uint64_t>(arguments.integer("scratch-gib", 1, 1 << 20)));
  terms.quota.opens_per_minute = static_cast<std::uint32_t>(arguments.integer("opens-per-minute", 1, 1000000));
  return terms;
}

// A person says yes to this member id, here or beforehand with --expect or --yes.
void confirm(const Arguments& arguments, const CertificateRequest& request, const Terms& terms) {
  const MemberId member = member_id(request.signing_key);
  if (const auto expected = arguments.optional_text("expect")) {
    if (parse_member_id(*expected) == member) return;
    throw Failure(ErrorCode::Refused, "the request is of member " + to_string(member) + ", not of the expected " +
                                          *expected + ": do not issue; ask " + request.subject);
  }
  if (arguments.flag("yes")) return;
  if (::isatty(STDIN_FILENO) == 0) {
    throw Failure(ErrorCode::Usage, "nobody is here to confirm the member id " + to_string(member) +
                                        "; give --expect MEMBER-ID (safe) or --yes");
  }
  std::cerr << request.subject << " will be " << to_string(terms.roles) << ". Its member id is\n  " << to_string(member)
            << "\nIs this what " << request.subject << " told you by another way? [y/N] ";
  std::string answer;
  std::getline(std::cin, answer);
  if (answer != "y" && answer != "Y" && answer != "yes") throw Failure(ErrorCode::Cancelled, "nothing was issued");
}

int run_issue(const Arguments& arguments) {
  const std::string file = arguments.positional().front();
  const Bundle asked = read_bundle(file).or_throw();
  if (!asked.request) throw Failure(ErrorCode::BadInput, file + " holds no request");
  const CertificateRequest request = verify_request(*asked.request).or_throw();
  const Terms terms = terms_of(arguments, request);
  confirm(arguments, request, terms);
  const auto passphrase = ask_passphrase(arguments, "passphrase of the authority", false);
  const auto authority = open_authority(authority_of(arguments), *passphrase).or_throw();
  Bundle answer;
  answer.chain = authority->issue(*asked.request, terms, wall_now()).or_throw();
  answer.anchor = authority->anchor();
  answer.revocations = authority->revocation_record();
  const fs::path output = arguments.optional_text("output").value_or(request.subject + ".cert");
  write_bundle(output, answer).or_throw();
  const Judge judge{wall_now(), authority->anchor(), authority->revocations()};
  Json json = as_json(answer, judge);
  json["file"] = output.string();
  say(arguments, json,
      in_words(decode_certificate(answer.chain->links.front().body).or_throw()) + "Send " + output.string() + " to " +
          request.subject + ", who runs: tomogrid certs install " + output.filename().string() + "\n");
  return 0;
}

Command issue_command() {
  const Quota quota;
  return {
      .name = "tomogrid certs issue",
      .summary = "answer a request with a certificate",
      .usage = "REQUEST [-o FILE] [options]",
      .description =
          std::string("Roles and groups are those of the request unless given here. Compare the member id with what "
                      "the person told you by another way. ") +
          kPassphraseText,
      .options = {{"role", "ROLE", "grant these roles instead of those asked for", {}, true},
                  {"group", "GROUP", "put it into these groups instead", {}, true},
                  {"days", "N", "validity in days", "365"},
                  {"jobs", "N", "jobs it may have open at one node", std::to_string(quota.jobs)},
                  {"scratch-gib", "N", "scratch in GiB that it may hold at one node",
                   std::to_string(quota.scratch.count() >> 30)},
                  {"opens-per-minute", "N", "jobs it may open in a minute at one node",
                   std::to_string(quota.opens_per_minute)},
                  {"expect", "MEMBER-ID", "issue only to this member id"},
                  {"yes", "", "do not ask whether the member id is right"},
                  kAuthority,
                  kPassphraseFile,
                  kOutput},
      .examples = {"tomogrid certs issue alice.request -o alice.cert",
                   "tomogrid certs issue node1.request --role node --days 90 --expect 7KQX2..."},
      .positional_min = 1,
      .positional_max = 1,
      .run = run_issue};
}

// --- install ---

Json installed(const fs::path& folder, const Bundle& bundle) {
  return {{"folder", folder.string()},
          {"federation", bundle.anchor->federation},
          {"authority", to_string(member_id(bundle.anchor->authority))}};
}

// A list by itself, for a member that no peer has told yet.
int install_list(const Arguments& arguments, const fs::path& folder, const Signed& record) {
  const Bundle trust = read_bundle(folder / "anchor.cert").or_throw();
  if (!trust.anchor) throw Failure(ErrorCode::BadInput, "no anchor in " + folder.string());
  RevocationStore store(revocations_file(folder), *trust.anchor);
  store.offer(record).or_throw();
  say(arguments, {{"revocations", store.list().number}},
      "revocation list " + std::to_string(store.list().number) + " is in use in " + folder.string() + "\n");
  return 0;
}

int run_install(const Arguments& arguments) {
  const fs::path folder = identity_folder(arguments);
  const Bundle bundle = read_bundle(arguments.positional().front()).or_throw();
  if (!bundle.chain && bundle.revocations) return install_list(arguments, folder, *bundle.revocations);
  if (!bundle.chain || !bundle.anchor) {
    throw Failure(ErrorCode::BadInput, arguments.positional().front() +
                                           " is not what `tomogrid certs issue` wrote: it " +
                                           "holds no certificate with its anchor");
  }
  const MemberId authority = member_id(bundle.anchor->authority);
  if (const auto expected = arguments.optional_text("expect"); expected && parse_member_id(*expected) != authority) {
    throw Failure(ErrorCode::Refused,
                  "the authority in this file is " + to_string(authority) + ", not the expected " + *expected);
  }
  install_member(folder, *bundle.chain, *bundle.anchor, bundle.revocations, wall_now()).or_throw();
  say(arguments, installed(folder, bundle),
      "installed in " + folder.string() + "\n" + in_words(bundle, {wall_now(), bundle.anchor, {}}));
  return 0;
}

Command install_command() {
  return {.name = "tomogrid certs install",
          .summary = "put the authority's answer, or a revocation list, into the member's folder",
          .usage = "FILE [options]",
          .description =
              "The first certificate decides which authority this member trusts from then on: compare the authority id "
              "that "
              "is printed with what the federation's administrator tells you, or give it with --expect.",
          .options = {{"expect", "AUTHORITY-ID", "refuse any other authority"}, kMember, kFolder},
          .examples = {"tomogrid certs install alice.cert", "tomogrid certs install revocations.list --member node1"},
          .positional_min = 1,
          .positional_max = 1,
          .run = run_install};
}

// --- show ---

Bundle member_bundle(const fs::path& folder) {
  Bundle all;
  for (const char* name : {"anchor.cert", "chain.cert", "request.cert", "revocations.list"}) {
    const auto part = read_bundle(folder / name);
    if (!part && part.error().code == ErrorCode::NotFound) continue;
    const Bundle found = Result<Bundle>(part).or_throw();
    if (found.anchor) all.anchor = found.anchor;
    if (found.chain) all.chain = found.chain;
    // Once answered, the request says nothing new.
    if (found.request && !all.chain) all.request = found.request;
    if (found.revocations) all.revocations = found.revocations;
  }
  if (all == Bundle{}) {
    throw Failure(ErrorCode::NotFound,
                  "no member at " + folder.string() + "; run: tomogrid certs request --name NAME --role ROLE");
  }
  return all;
}

Judge judge_for(const Arguments& arguments, const Bundle& bundle) {
  Judge judge{.now = wall_now()};
  judge.anchor = bundle.anchor;
  if (const auto file = arguments.optional_text("anchor")) judge.anchor = read_bundle(*file).or_throw().anchor;
  if (!judge.anchor) {
    const auto own = read_bundle(identity_folder(arguments) / "anchor.cert");
    if (own) judge.anchor = own->anchor;
  }
  if (judge.anchor && bundle.revocations) {
    const auto list = verify_revocations(*bundle.revocations, *judge.anchor);
    if (list) judge.revocations = *list;
  }
  return judge;
}

int run_show(const Arguments& arguments) {
  const bool file = !arguments.positional().empty();
  const Bundle bundle =
      file ? read_bundle(arguments.positional().front()).or_throw() : member_bundle(identity_folder(arguments));
  const Judge judge = judge_for(arguments, bundle);
  say(arguments, as_json(bundle, judge), in_words(bundle, judge));
  if (!bundle.chain || !judge.anchor) return 0;
  const auto verified =
      verify_chain(*bundle.chain, *judge.anchor, judged_time(judge.now, judge.revocations.issued), judge.revocations);
  return verified ? 0 : static_cast<int>(verified.error().code);
}

Command show_command() {
  return {.name = "tomogrid certs show",
          .summary = "explain a certificate, request, anchor or revocation list in words",
          .usage = "[FILE] [options]",
          .description =
              "Without FILE: this member. A chain is judged against --anchor, else the anchor in the file, else this "
              "member's; the exit status says whether it holds.",
          .options = {{"anchor", "FILE", "judge against this authority"}, kMember, kFolder},
          .examples = {"tomogrid certs show", "tomogrid certs show alice.request",
                       "tomogrid certs show --member node1 --json"},
          .positional_min = 0,
          .positional_max = 1,
          .run = run_show};
}

// --- revoke ---

Signed revoked_list(const Arguments& arguments, Authority& authority) {
  if (arguments.flag("refresh")) return authority.refresh_revocations(wall_now()).or_throw();
  if (arguments.positional().empty())
    throw Failure(ErrorCode::Usage, "who is to be revoked? Give a name, or --refresh");
  const std::string& who = arguments.positional().front();
  std::error_code ignored;
  if (!fs::is_regular_file(who, ignored)) return authority.revoke(who, wall_now()).or_throw();
  const Bundle bundle = read_bundle(who).or_throw();
  if (!bundle.chain) throw Failure(ErrorCode::BadInput, who + " holds no certificate");
  verify_chain(*bundle.chain, authority.anchor(), wall_now(), authority.revocations()).or_throw();
  return authority.revoke(decode_certificate(bundle.chain->links.front().body).or_throw(), wall_now()).or_throw();
}

int run_revoke(const Arguments& arguments) {
  const fs::path folder = authority_of(arguments);
  const auto passphrase = ask_passphrase(arguments, "passphrase of the authority", false);
  const auto authority = open_authority(folder, *passphrase).or_throw();
  Bundle bundle;
  bundle.revocations = revoked_list(arguments, *authority);
  fs::path file = folder / "revocations.list";
  if (const auto output = arguments.optional_text("output")) {
    file = *output;
    write_bundle(file, bundle).or_throw();
  }
  const Judge judge{wall_now(), authority->anchor(), authority->revocations()};
  Json json = as_json(bundle, judge);
  json["file"] = file.string();
  say(arguments, json,
      in_words(bundle, judge) + "Hand " + file.string() + " to any registry, manager or node (tomogrid certs install " +
          file.filename().string() + "); they pass it on.\n");
  return 0;
}

Command revoke_command() {
  return {
      .name = "tomogrid certs revoke",
      .summary = "remove a member: sign a new revocation list",
      .usage = "WHO [-o FILE] [options]",
      .description =
          std::string("WHO is a name, a member id, a serial, or a certificate's file. Its keys are refused from then "
                      "on by everyone "
                      "who has the list; who returns needs new keys. --refresh signs a list without a new entry. ") +
          kPassphraseText,
      .options = {{"refresh", "", "a fresh list with no new entry"}, kAuthority, kPassphraseFile, kOutput},
      .examples = {"tomogrid certs revoke node1.hospital-b", "tomogrid certs revoke alice.cert -o revocations.list"},
      .positional_min = 0,
      .positional_max = 1,
      .run = run_revoke};
}

// --- audit ---

std::optional<AuditHead> expected_head(const Arguments& arguments) {
  if (!arguments.given("lines") && !arguments.given("chain")) return std::nullopt;
  AuditHead head;
  head.lines = static_cast<std::uint64_t>(arguments.integer("lines", 0, INT64_MAX));
  const auto bytes = from_hex(arguments.text("chain"));
  if (!bytes || bytes->size() != head.chain.size()) {
    throw Failure(ErrorCode::Usage, "--chain takes the 64 hexadecimal digits that this command printed");
  }
  std::copy(bytes->begin(), bytes->end(), head.chain.begin());
  return head;
}

int run_audit(const Arguments& arguments) {
  const std::string& file = arguments.positional().front();
  const AuditHead head = verify_audit(file, expected_head(arguments)).or_throw();
  say(arguments, {{"lines", head.lines}, {"chain", to_hex(head.chain)}},
      file + " is whole: " + std::to_string(head.lines) +
          " lines\nTo prove later that nothing before now was changed, keep: --lines " + std::to_string(head.lines) +
          " --chain " + to_hex(head.chain) + "\n");
  return 0;
}

Command audit_command() {
  return {.name = "tomogrid certs audit",
          .summary = "check that an audit log was not altered, shortened or reordered",
          .usage = "LOG [--lines N --chain HEX]",
          .description = "",
          .options = {{"lines", "N", "number of lines that an earlier check printed"},
                      {"chain", "HEX", "the chain value that it printed"}},
          .examples = {"tomogrid certs audit audit.jsonl"},
          .positional_min = 1,
          .positional_max = 1,
          .run = run_audit};
}

// What will stop this member soon, or should be looked after: said, never refused.
void warn_early(const Identity& identity, const fs::path& folder) {
  constexpr std::chrono::hours kSoon{24 * 14};
  const WallTime now = wall_now();
  const WallTime until = identity.certificate().not_after;
  if (until < now + kSoon) {
    log::warning("certificate.expires_soon", {{"member", identity.name()}, {"on", iso_time(until.unix_ms)}});
  }
  const RevocationStore store(revocations_file(folder), identity.anchor());
  if (store.list().number > 0 && store.list().stale_after < now) {
    log::warning("revocations.stale", {{"number", store.list().number}, {"of", iso_time(store.list().issued.unix_ms)}});
  }
}

}  // namespace

std::vector<Command> certs_commands() {
  return {init_command(), request_command(), issue_command(), install_command(),
          show_command(), revoke_command(),  audit_command()};
}

std::vector<Option> identity_options() {
  return {kMember, kFolder, kPassphraseFile};
}

fs::path identity_folder(const Arguments& arguments) {
  if (const auto folder = arguments.optional_text("folder")) return *folder;
  const auto member = arguments.optional_text("member");
  if (member && !job::is_name(*member)) throw Failure(ErrorCode::Usage, "--member " + *member + " is not a name");
  return member_folder(tomogrid_home(), member);
}

std::unique_ptr<Identity> load_identity(const Arguments& arguments) {
  const fs::path folder = identity_folder(arguments);
  const auto passphrase =
      needs_passphrase(folder) ? ask_passphrase(arguments, "passphrase of " + folder.string(), false) : nullptr;
  auto identity = load_identity(folder, wall_now(), passphrase.get()).or_throw();
  warn_early(*identity, folder);
  return identity;
}

}  // namespace tomogrid::certs
