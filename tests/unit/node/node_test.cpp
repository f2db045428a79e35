#include "node/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "world.h"

namespace tomogrid::node::test {
namespace {

using job::JobState;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// ---- one job, from open to wiped
// --------------------------------------------------------------------------------------
TEST(Node, JobRunsFromOpenToWiped) {
  World world;
  const auto alice = world.connect(*members().alice);
  const auto key = World::key(*members().alice, 1);
  world.say(alice, world.open(1));
  EXPECT_EQ(world.effects_of<wire::PrepareScratch>().size(), 1U);
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Queued);
  EXPECT_EQ(world.last<wire::JobStatus>(alice).grant.cores, 2U);
  EXPECT_TRUE(world.workers.empty()) << "its input is not there";

  world.send_input(alice, 1);
  ASSERT_EQ(world.effects_of<wire::StartWorker>().size(), 1U);
  const auto start = world.effects_of<wire::StartWorker>().front();
  EXPECT_EQ(start.order.parameters.at("iterations"), job::ParameterValue(std::int64_t{10}));
  EXPECT_EQ(start.order.inputs.front().root, digest(1));
  EXPECT_THAT(start.outputs, ElementsAre("volume.f32", "passport.json"));
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Running);

  world.feed(wire::WorkerSaid{key, job::Progress{"iterate", 0.5, Seconds(3), 5, 10}});
  world.pass(seconds(1));
  EXPECT_EQ(world.last<wire::JobStatus>(alice).step, 5U);
  EXPECT_EQ(world.last<wire::JobStatus>(alice).remaining, Seconds(3));

  world.worker_succeeds(key);
  const auto finished = world.last<wire::JobStatus>(alice);
  EXPECT_EQ(finished.state, JobState::Finished);
  EXPECT_EQ(finished.expires, world.now.wall + hours(24));
  ASSERT_TRUE(finished.receipt.has_value());
  EXPECT_TRUE(
      certs::verify(*finished.receipt, certs::kinds::receipt, members().node->certificate().signing_key).has_value());
  const auto receipt = wire::decode_receipt(finished.receipt->body).value();
  EXPECT_EQ(receipt.client, members().alice->member());
  EXPECT_EQ(receipt.job, job_id(1));
  EXPECT_EQ(receipt.inputs.front().root, digest(1));
  EXPECT_EQ(receipt.outputs, finished.outputs);
  EXPECT_EQ(receipt.worker_build, digest(5));
  EXPECT_EQ(receipt.parameters, R"({"iterations":10})");

  world.say(alice, wire::Fetch{job_id(1), "volume.f32"});
  ASSERT_EQ(world.effects_of<wire::SendStream>().size(), 1U);
  world.feed(wire::StreamSent{alice.id, {job_id(1), "volume.f32", 0}, 64, digest(9)});
  world.say(alice, wire::Collected{job_id(1)});
  EXPECT_EQ(world.effects_of<wire::Wipe>().size(), 1U);
  EXPECT_EQ(world.sent<wire::Wiped>(alice).size(), 1U);
  EXPECT_TRUE(world.node->find(key)->wiped);
  EXPECT_TRUE(world.node->ledger().holds().empty());

  world.say(alice, wire::Collected{job_id(1)});
  EXPECT_EQ(world.sent<wire::Wiped>(alice).size(), 2U) << "repeated, answered again";
  EXPECT_EQ(world.effects_of<wire::Wipe>().size(), 1U);
  world.say(alice, wire::Fetch{job_id(1), "volume.f32"});
  EXPECT_EQ(world.last<wire::JobRefused>(alice).code, "state");
  world.say(alice, world.open(1));
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Finished) << "never run twice unseen";
  EXPECT_EQ(world.effects_of<wire::StartWorker>().size(), 1U);
  EXPECT_THAT(world.audited(),
              ::testing::IsSupersetOf({"open-job done", "fetch done", "collected done", "job-wiped done"}));
}

TEST(Node, StreamedServiceStartsAtOpenAndHearsOfItsInput) {
  World world;
  const auto alice = world.connect(*members().alice);
  const auto key = World::key(*members().alice, 1);
  world.say(alice, world.open(1, 1000, "qa.test/1"));
  EXPECT_TRUE(world.workers.contains(key));
  const wire::StreamKey stream{job_id(1), "scan.f32", 0};
  world.say(alice, wire::StreamOffer{stream, 1, 1000});
  ASSERT_EQ(world.effects_of<wire::ReceiveStream>().size(), 1U);
  EXPECT_EQ(world.effects_of<wire::ReceiveStream>().front().job, key);
  world.feed(wire::RangeStored{alice.id, stream, 512, 488});
  world.feed(wire::RangeStored{alice.id, stream, 0, 512});
  world.feed(wire::StreamReceived{alice.id, stream, 1000, digest(1)});
  std::vector<job::ToWorker> lines;
  for (const auto& told : world.effects_of<wire::TellWorker>()) lines.push_back(told.line);
  EXPECT_THAT(lines, ElementsAre(job::ToWorker(job::InputAvailable{"scan.f32", 512, 488}),
                                 job::ToWorker(job::InputAvailable{"scan.f32", 0, 512}),
                                 job::ToWorker(job::InputComplete{"scan.f32"})));
  EXPECT_TRUE(world.last<wire::JobStatus>(alice).input_complete);
}

TEST(Node, WorkerThatFinishesBeforeItsInputIsNoSuccess) {
  World world;
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1, 1000, "qa.test/1"));
  world.worker_succeeds(World::key(*members().alice, 1), "report.json");
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Failed);
  EXPECT_FALSE(world.last<wire::JobStatus>(alice).receipt.has_value());
}

TEST(Node, SeveralJobsRunAtOnce) {
  World world;
  const auto alice = world.connect(*members().alice);
  const auto bob = world.connect(*members().bob);
  for (std::uint8_t i = 1; i <= 2; ++i) {
    world.say(alice, world.open(i));
    world.say(bob, world.open(i));  // the same id of another client is another job
    world.send_input(alice, i);
    world.send_input(bob, i);
  }
  EXPECT_EQ(world.workers.size(), 4U);
  EXPECT_EQ(world.node->advert(world.now).cores_free, 0U);
  EXPECT_EQ(world.node->advert(world.now).jobs_running, 4U);
}

// ---- what is asked twice, or wrongly
// ------------------------------------------------------------------------------------
TEST(Node, SameJobAgainAnswersWithItsStateAndOtherContentConflicts) {
  World world;
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1));
  world.send_input(alice, 1);
  const auto later = world.connect(*members().alice);
  world.say(later, world.open(1));
  EXPECT_EQ(world.last<wire::JobStatus>(later).state, JobState::Running);
  auto other = world.open(1);
  other.parameters["iterations"] = std::int64_t{11};
  world.say(later, other);
  EXPECT_EQ(world.last<wire::OpenRefused>(later).code, "conflict");
  world.say(later, world.open(1, 999));
  EXPECT_EQ(world.last<wire::OpenRefused>(later).code, "conflict");
  auto explicit_default = world.open(1);
  explicit_default.parameters["iterations"] = std::int64_t{10};
  world.forget();
  world.say(later, explicit_default);
  EXPECT_TRUE(world.sent<wire::OpenRefused>(later).empty());
  EXPECT_EQ(world.effects_of<wire::StartWorker>().size(), 0U);
}

TEST(Node, WrongOpensAreRefusedByTheReason) {
  World world;
  const auto alice = world.connect(*members().alice);
  const auto refusal = [&](const wire::Peer& peer, wire::Open open) {
    world.forget();
    world.say(peer, std::move(open));
    return world.last<wire::OpenRefused>(peer).code;
  };
  auto open = world.open(1);
  open.service = {"recon.unknown", 1};
  EXPECT_EQ(refusal(alice, open), "service");
  open = world.open(1);
  open.parameters["iterations"] = std::int64_t{100};
  EXPECT_EQ(refusal(alice, open), "parameters");
  open = world.open(1);
  open.inputs.clear();
  EXPECT_EQ(refusal(alice, open), "input");
  open = world.open(1, std::uint64_t{2'000'000'000});
  EXPECT_EQ(refusal(alice, open), "input");
  open = world.open(1);
  open.inputs.push_back(open.inputs.front());
  EXPECT_EQ(refusal(alice, open), "input");
  open = world.open(1);
  open.needs.labels = {"gpu"};
  EXPECT_EQ(refusal(alice, open), "capacity");
  open = world.open(1);
  open.needs.cores_min = 9;
  open.needs.cores_max = 9;
  EXPECT_EQ(refusal(alice, open), "capacity");
  open = world.open(1);
  open.needs.memory = Bytes(UINT64_MAX);
  EXPECT_EQ(refusal(alice, open), "capacity");
  EXPECT_EQ(refusal(world.connect(*members().admin), world.open(1)), "role");
  EXPECT_EQ(refusal(world.connect(*members().dev), world.open(1)), "role") << "developers need a ticket";
  EXPECT_TRUE(world.node->ledger().holds().empty());
  EXPECT_TRUE(world.journal.empty());
}

TEST(Node, OnlyTheOpenerSeesFetchesCollectsAndCancels) {
  World world;
  const auto alice = world.connect(*members().alice);
  const auto bob = world.connect(*members().bob);
  world.say(alice, world.open(1));
  world.send_input(alice, 1);
  const std::vector<wire::Message> verbs{wire::Attach{job_id(1)}, wire::CancelJob{job_id(1)},
                                         wire::Fetch{job_id(1), "volume.f32"}, wire::Collected{job_id(1)}};
  for (const wire::Message& verb : verbs) {
    world.forget();
    world.say(bob, verb);
    EXPECT_EQ(world.last<wire::JobRefused>(bob).code, "owner") << wire::name_of(verb);
    EXPECT_THAT(world.audited(), Contains(HasSubstr("refused: owner")));
  }
  world.forget();
  world.say(bob, wire::StreamOffer{{job_id(1), "scan.f32", 0}, 3, 1000});
  EXPECT_EQ(world.last<wire::StreamAbort>(bob).code, "unknown");
  world.say(bob, wire::Attach{job_id(9)});
  EXPECT_EQ(world.last<wire::JobRefused>(bob).code, "unknown");
  EXPECT_TRUE(world.sent<wire::JobStatus>(bob).empty());
  EXPECT_EQ(world.state(World::key(*members().alice, 1)), JobState::Running);
  world.say(bob, wire::ListJobs{});
  EXPECT_TRUE(world.last<wire::JobList>(bob).jobs.empty());
  world.say(alice, wire::ListJobs{});
  EXPECT_EQ(world.last<wire::JobList>(alice).jobs.size(), 1U);
}

TEST(Node, StreamOffersThatDoNotFitAreAborted) {
  World world;
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1));
  world.say(alice, wire::StreamOffer{{job_id(1), "scan.f32", 0}, 1, 999});
  EXPECT_EQ(world.last<wire::StreamAbort>(alice).code, "length");
  world.say(alice, wire::StreamOffer{{job_id(1), "volume.f32", 0}, 2, 1000});
  EXPECT_EQ(world.last<wire::StreamAbort>(alice).code, "unknown");
  world.say(alice, wire::StreamOffer{{job_id(1), "scan.f32", 1}, 3, 1000});
  EXPECT_EQ(world.last<wire::StreamAbort>(alice).code, "unknown");
  EXPECT_TRUE(world.effects_of<wire::ReceiveStream>().empty());
}

TEST(Node, InputThatDoesNotAgreeWithItsHashFailsTheJob) {
  World world;
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1));
  world.say(alice, wire::StreamOffer{{job_id(1), "scan.f32", 0}, 1, 1000});
  world.feed(wire::StreamBroken{alice.id, {job_id(1), "scan.f32", 0}, "hash", "roots differ"});
  EXPECT_EQ(world.last<wire::JobStatus>(alice).failure->code, "hash");
  EXPECT_EQ(world.effects_of<wire::Wipe>().size(), 1U);
}

// ---- tickets
// ------------------------------------------------------------------------------------------------------------
TEST(Node, ReservationIsHeldForItsTicketAndTurnsIntoTheJob) {
  World world;
  const auto manager = world.connect(*members().manager);
  const auto alice = world.connect(*members().alice);
  const auto ticket = world.ticket(*members().alice, 1, 6);
  world.say(manager, wire::Reserve{World::sign(ticket)});
  EXPECT_EQ(world.last<wire::Reserved>(manager).ticket, ticket.id);
  EXPECT_EQ(world.node->advert(world.now).cores_free, 2U);
  EXPECT_THAT(world.node->advert(world.now).recent_tickets, ElementsAre(ticket.id));
  auto open = world.open(1);
  open.ticket = World::sign(ticket);
  world.say(alice, open);
  EXPECT_EQ(world.last<wire::JobStatus>(alice).grant, ticket.grant);
  EXPECT_EQ(world.node->advert(world.now).cores_free, 2U) << "held once";
  world.say(manager, wire::Reserve{World::sign(ticket)});
  EXPECT_EQ(world.sent<wire::Reserved>(manager).size(), 2U) << "told twice, answered twice";
  EXPECT_EQ(world.node->advert(world.now).cores_free, 2U);
  world.pass(seconds(61));
  EXPECT_TRUE(world.node->advert(world.now).recent_tickets.empty());
}

TEST(Node, UnusedReservationEndsByItsLifeOrByRelease) {
  World world;
  const auto manager = world.connect(*members().manager);
  world.say(manager, wire::Reserve{World::sign(world.ticket(*members().alice, 1, 6))});
  world.pass(seconds(59));
  EXPECT_EQ(world.node->advert(world.now).cores_free, 2U);
  world.pass(seconds(2));
  EXPECT_EQ(world.node->advert(world.now).cores_free, 8U);
  const auto second = world.ticket(*members().alice, 2, 6);
  world.say(manager, wire::Reserve{World::sign(second)});
  const auto stranger = world.connect(*members().alice);
  world.say(stranger, wire::Release{second.id});
  EXPECT_EQ(world.node->advert(world.now).cores_free, 2U) << "only its manager may";
  world.say(manager, wire::Release{second.id});
  EXPECT_EQ(world.node->advert(world.now).cores_free, 8U);
}

TEST(Node, BadReservationsAreRefused) {
  World world;
  const auto manager = world.connect(*members().manager);
  const auto code = [&](const wire::Peer& peer, const certs::Signed& ticket) {
    world.forget();
    world.say(peer, wire::Reserve{ticket});
    return world.last<wire::ReserveRefused>(peer).code;
  };
  auto ticket = world.ticket(*members().alice, 1, 9);
  EXPECT_EQ(code(manager, World::sign(ticket)), "capacity");
  ticket = world.ticket(*members().alice, 1);
  EXPECT_EQ(code(world.connect(*members().alice), World::sign(ticket)), "role");
  EXPECT_EQ(code(manager, World::sign(ticket, *members().alice)), "ticket") << "not its own signature";
  ticket.node = members().other_node->member();
  EXPECT_EQ(code(manager, World::sign(ticket)), "ticket");
  ticket = world.ticket(*members().alice, 1);
  ticket.boot = 6;
  EXPECT_EQ(code(manager, World::sign(ticket)), "boot");
  auto garbage = World::sign(ticket);
  garbage.body.resize(3);
  EXPECT_EQ(code(manager, garbage), "ticket");
  EXPECT_TRUE(world.node->ledger().holds().empty());
}

TEST(Node, WrongTicketsAreRefusedByTheReason) {
  World world;
  const auto manager = world.connect(*members().manager);
  const auto alice = world.connect(*members().alice);
  const auto bob = world.connect(*members().bob);
  const auto good = world.ticket(*members().alice, 1);
  world.say(manager, wire::Reserve{World::sign(good)});
  const auto refusal = [&](const wire::Peer& peer, std::uint8_t number, const certs::Signed& ticket) {
    world.forget();
    auto open = world.open(number);
    open.ticket = ticket;
    world.say(peer, open);
    return world.last<wire::OpenRefused>(peer).code;
  };
  EXPECT_EQ(refusal(alice, 2, World::sign(good)), "replayed");
  EXPECT_EQ(refusal(bob, 1, World::sign(good)), "ticket");
  auto altered = good;
  altered.grant.cores = 8;
  EXPECT_EQ(refusal(alice, 1, World::sign(altered)), "ticket") << "same id, other content";
  auto elsewhere = world.ticket(*members().alice, 3);
  elsewhere.node = members().other_node->member();
  EXPECT_EQ(refusal(alice, 3, World::sign(elsewhere)), "ticket");
  auto old = world.ticket(*members().alice, 4);
  old.issued = world.now.wall - minutes(3);
  EXPECT_EQ(refusal(alice, 4, World::sign(old)), "ticket");
  auto service = world.ticket(*members().alice, 5);
  service.service = {"qa.test", 1};
  EXPECT_EQ(refusal(alice, 5, World::sign(service)), "ticket");
}

TEST(Node, ClientThatComesBeforeItsReservationIsAdmittedAndHeldOnce) {
  World world;
  const auto manager = world.connect(*members().manager);
  const auto alice = world.connect(*members().alice);
  const auto ticket = world.ticket(*members().alice, 1);
  auto open = world.open(1);
  open.ticket = World::sign(ticket);
  world.say(alice, open);
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Queued);
  EXPECT_EQ(world.node->advert(world.now).cores_free, 6U);
  EXPECT_THAT(world.node->advert(world.now).recent_tickets, ElementsAre(ticket.id));
  world.say(manager, wire::Reserve{World::sign(ticket)});
  EXPECT_EQ(world.sent<wire::Reserved>(manager).size(), 1U);
  EXPECT_EQ(world.node->advert(world.now).cores_free, 6U);
}

TEST(Node, WhoNeedsATicketWaitsForItsManagerAndNoLonger) {
  World world;
  const auto dev = world.connect(*members().dev);
  const auto ticket = world.ticket(*members().dev, 1);
  auto open = world.open(1);
  open.ticket = World::sign(ticket);
  world.say(dev, open);
  EXPECT_TRUE(world.messages.empty()) << "neither admitted nor refused yet";
  const auto manager = world.connect(*members().manager);
  world.say(manager, wire::Reserve{World::sign(ticket)});
  EXPECT_EQ(world.sent<wire::JobStatus>(dev).size(), 1U);

  World second;
  const auto late = second.connect(*members().dev);
  second.say(late, open);
  second.pass(seconds(3));
  EXPECT_EQ(second.last<wire::OpenRefused>(late).code, "ticket");
  auto forged = second.open(2);
  forged.ticket = World::sign(second.ticket(*members().dev, 2), *members().dev);
  second.connect(*members().manager);
  second.say(late, forged);
  second.pass(seconds(3));
  EXPECT_EQ(second.sent<wire::OpenRefused>(late).size(), 2U) << "signed by itself";
}

// ---- queue, quotas, drain
// -------------------------------------------------------------------------------------------------
TEST(Node, DirectJobsQueueInOrderAndRunAsCoresComeFree) {
  World world;
  const auto alice = world.connect(*members().alice);
  auto large = world.open(1);
  large.needs.cores_min = large.needs.cores_max = 8;
  world.say(alice, large);
  world.send_input(alice, 1);
  auto waits = world.open(2);
  waits.needs.cores_min = waits.needs.cores_max = 8;
  world.say(alice, waits);
  world.send_input(alice, 2);
  world.say(alice, world.open(3));  // would fit after 1, but 2 was first
  world.send_input(alice, 3);
  EXPECT_EQ(world.workers.size(), 1U);
  EXPECT_EQ(world.node->advert(world.now).jobs_queued, 2U);
  world.worker_succeeds(World::key(*members().alice, 1));
  EXPECT_THAT(world.workers, ElementsAre(World::key(*members().alice, 2)));
  world.worker_succeeds(World::key(*members().alice, 2));
  EXPECT_TRUE(world.workers.contains(World::key(*members().alice, 3)));
}

TEST(Node, QueueIsBoundedAndManagedJobsDoNotQueue) {
  NodeOptions options;
  options.queue_max = 1;
  World world(options);
  const auto alice = world.connect(*members().alice);
  auto large = world.open(1);
  large.needs.cores_min = large.needs.cores_max = 8;
  world.say(alice, large);
  world.say(alice, world.open(2));
  world.say(alice, world.open(3));
  EXPECT_EQ(world.last<wire::OpenRefused>(alice).code, "capacity");
  EXPECT_EQ(world.last<wire::OpenRefused>(alice).retry, job::Retry::Elsewhere);
  auto managed = world.open(4);
  managed.ticket = World::sign(world.ticket(*members().alice, 4));
  world.say(alice, managed);
  EXPECT_EQ(world.last<wire::OpenRefused>(alice).job, job_id(4)) << "its client asks the manager again";
}

TEST(Node, QuotasHoldPerMember) {
  NodeOptions options;
  options.per_member.jobs = 2;
  options.per_member.scratch = mebibytes(25);
  options.per_member.opens_per_minute = 6;
  World world(options);
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1));
  world.say(alice, world.open(2));
  world.say(alice, world.open(3));
  EXPECT_EQ(world.last<wire::OpenRefused>(alice).code, "quota");
  world.say(world.connect(*members().bob), world.open(1));
  auto heavy = world.open(4);
  heavy.needs.scratch = mebibytes(26);
  const auto dave = world.connect(*members().bob);
  world.say(dave, heavy);
  EXPECT_EQ(world.last<wire::OpenRefused>(dave).code, "quota");
  for (int i = 0; i < 10; ++i) world.say(alice, world.open(static_cast<std::uint8_t>(20 + i)));
  EXPECT_THAT(world.last<wire::OpenRefused>(alice).reason, HasSubstr("in a minute"));
}

TEST(Node, DrainingNodeFinishesWhatItHasAndTakesNoMore) {
  World world;
  const auto admin = world.connect(*members().admin);
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1));
  world.say(alice, wire::Drain{true});
  EXPECT_FALSE(world.node->draining()) << "not an administrator";
  world.say(admin, wire::Drain{true});
  EXPECT_EQ(world.last<wire::Drained>(admin), (wire::Drained{true, 1}));
  EXPECT_TRUE(world.node->advert(world.now).draining);
  world.say(alice, world.open(2));
  EXPECT_EQ(world.last<wire::OpenRefused>(alice).code, "draining");
  world.say(alice, world.open(1));
  EXPECT_EQ(world.last<wire::JobStatus>(alice).state, JobState::Queued) << "what exists is answered";
  world.send_input(alice, 1);
  EXPECT_EQ(world.workers.size(), 1U);
  const auto manager = world.connect(*members().manager);
  world.say(manager, wire::Reserve{World::sign(world.ticket(*members().bob, 5))});
  EXPECT_EQ(world.last<wire::ReserveRefused>(manager).code, "draining");
  world.restart({});
  EXPECT_TRUE(world.node->draining()) << "it stays so";
  const auto again = world.connect(*members().admin);
  world.say(again, wire::Drain{false});
  EXPECT_FALSE(world.node->draining());
}

// ---- how jobs end
// ---------------------------------------------------------------------------------------------------------
struct RunningJob : World {
  explicit RunningJob(NodeOptions options = {}) : World(options) {
    alice = connect(*members().alice);
    say(alice, open(1));
    send_input(alice, 1);
  }
  wire::Peer alice;
  wire::JobKey key = World::key(*members().alice, 1);
};

TEST(Node, CancelStopsTheWorkerThenWipes) {
  RunningJob world;
  world.say(world.alice, wire::CancelJob{job_id(1)});
  EXPECT_EQ(world.last<wire::JobStatus>(world.alice).state, JobState::Cancelled);
  EXPECT_EQ(world.effects_of<wire::StopWorker>().size(), 1U);
  EXPECT_TRUE(world.effects_of<wire::Wipe>().empty()) << "not under a running worker";
  EXPECT_EQ(world.node->advert(world.now).cores_free, 6U) << "its cores are still in use";
  world.feed(wire::WorkerExited{world.key, -15, {}, {}});
  EXPECT_EQ(world.effects_of<wire::Wipe>().size(), 1U);
  EXPECT_EQ(world.node->advert(world.now).cores_free, 8U);
  EXPECT_EQ(world.state(world.key), JobState::Cancelled);
  world.say(world.alice, wire::CancelJob{job_id(1)});
  EXPECT_EQ(world.last<wire::JobStatus>(world.alice).state, JobState::Cancelled);
}

TEST(Node, AdministratorMayCancelButSeesNoResult) {
  RunningJob world;
  const auto admin = world.connect(*members().admin);
  world.say(admin, wire::CancelJob{job_id(1)});
  EXPECT_EQ(world.last<wire::JobStatus>(admin).state, JobState::Cancelled);
  EXPECT_EQ(world.last<wire::JobStatus>(world.alice).state, JobState::Cancelled);
  world.say(admin, wire::CancelJob{job_id(7)});
  EXPECT_EQ(world.last<wire::JobRefused>(admin).code, "unknown");
}

TEST(Node, DeadWorkerIsStartedOnceMoreFromItsCheckpointThenTheJobFailsElsewhere) {
  RunningJob world;
  world.feed(wire::WorkerSaid{world.key, job::CheckpointReady{"checkpoint", 4}});
  world.feed(wire::WorkerExited{world.key, -9, {}, {}});
  ASSERT_EQ(world.workers.size(), 1U);
  const auto second = world.effects_of<wire::StartWorker>().back();
  EXPECT_EQ(second.order.inputs.back().name, "checkpoint");
  EXPECT_EQ(world.effects_of<wire::TellWorker>().back().line, job::ToWorker(job::InputComplete{"checkpoint"}))
      << "it waits for that";
  EXPECT_EQ(world.state(world.key), JobState::Running);
  world.feed(wire::WorkerExited{world.key, -9, {}, {}});
  const auto failed = world.last<wire::JobStatus>(world.alice);
  EXPECT_EQ(failed.failure->code, "worker-died");
  EXPECT_EQ(failed.failure->retry, job::Retry::Elsewhere);
  EXPECT_EQ(world.node->advert(world.now).cores_free, 8U);
}

TEST(Node, RunningWorkerIsAskedForCheckpointsNowAndThen) {
  RunningJob world;
  world.forget();
  world.pass(seconds(95));
  EXPECT_EQ(world.effects_of<wire::TellWorker>().size(), 3U);
  EXPECT_EQ(world.effects_of<wire::TellWorker>().back().line, job::ToWorker(job::CheckpointNow{}));
}

TEST(Node, WorkersOwnWordDecidesHowItFails) {
  RunningJob world;
  world.feed(wire::WorkerSaid{world.key, job::WorkerFailed{{"bad-input", "bins 0", job::Retry::Never}}});
  world.feed(wire::WorkerExited{world.key, 3, {}, {}});
  const auto failed = world.last<wire::JobStatus>(world.alice);
  EXPECT_EQ(failed.failure, (job::JobFailure{"bad-input", "bins 0", job::Retry::Never}));
  EXPECT_EQ(world.effects_of<wire::StartWorker>().size(), 1U) << "not tried again";
  EXPECT_EQ(world.effects_of<wire::Wipe>().size(), 1U);
}

TEST(Node, SuccessWithoutADeclaredOutputIsNone) {
  RunningJob world;
  world.feed(wire::WorkerExited{world.key, 0, {{"passport.json", 3, {}}}, {}});
  EXPECT_EQ(world.state(world.key), JobState::Running) << "tried once more";
  world.feed(wire::WorkerExited{world.key, 0, {}, {}});
  EXPECT_EQ(world.last<wire::JobStatus>(world.alice).failure->code, "output-missing");
}

TEST(Node, OutputBeyondItsLimitFails) {
  RunningJob world;
  world.feed(wire::WorkerExited{world.key, 0, {{"volume.f32", 1'000'001, {}}}, {}});
  EXPECT_EQ(world.last<wire::JobStatus>(world.alice).failure->code, "output-too-long");
}

TEST(Node, UncollectedResultIsWipedWhenRetentionEnds) {
  RunningJob world;
  world.worker_succeeds(world.key);
  world.pass(hours(24) - seconds(1));
  EXPECT_TRUE(world.effects_of<wire::Wipe>().empty());
  world.pass(seconds(2));
  EXPECT_EQ(world.effects_of<wire::Wipe>().size(), 1U);
  EXPECT_TRUE(world.node->find(world.key)->wiped);
  EXPECT_EQ(world.state(world.key), JobState::Finished);
}

// ---- what the opener sees
// -------------------------------------------------------------------------------------------------
TEST(Node, PreviewsAreSentOneAtATimeAndOnlyTheLatest) {
  RunningJob world;
  const auto preview = [&] { world.feed(wire::WorkerSaid{world.key, job::PreviewReady{"preview.png", "it"}}); };
  const auto sent = [&] { return world.effects_of<wire::SendStream>(); };
  preview();
  preview();
  preview();
  ASSERT_EQ(sent().size(), 1U);
  EXPECT_EQ(sent().back().key.generation, 1U);
  world.feed(wire::StreamSent{world.alice.id, sent().back().key, 10, {}});
  ASSERT_EQ(sent().size(), 2U);
  EXPECT_EQ(sent().back().key.generation, 3U) << "2 is superseded";
  world.feed(wire::StreamBroken{world.alice.id, sent().back().key, "superseded", ""});
  EXPECT_EQ(sent().size(), 2U);
  preview();
  EXPECT_EQ(sent().back().key.generation, 4U);
  const auto later = world.connect(*members().alice);
  world.say(later, wire::Attach{job_id(1)});
  EXPECT_EQ(sent().back().peer, later.id);
  EXPECT_EQ(sent().back().key.generation, 4U);
  const auto caption = world.last<wire::JobNotice>(world.alice);
  EXPECT_EQ(caption.code, wire::kPreviewNotice);
  EXPECT_EQ(caption.message, "it");
}

TEST(Node, ProgressIsNotPushedFasterThanItCanBeRead) {
  RunningJob world;
  world.forget();
  for (int i = 0; i < 1000; ++i)
    world.feed(wire::WorkerSaid{world.key, job::Progress{"iterate", i / 1000.0, std::nullopt, 0, 0}});
  EXPECT_LE(world.sent<wire::JobStatus>(world.alice).size(), 1U);
  world.pass(std::chrono::milliseconds(200));
  EXPECT_EQ(world.last<wire::JobStatus>(world.alice).fraction, 0.999) << "the latest arrives";
}

TEST(Node, NoticesReachThoseWhoComeLater) {
  RunningJob world;
  world.feed(wire::WorkerSaid{world.key, job::Notice{"truncated-map", "12 rows"}});
  EXPECT_EQ(world.last<wire::JobNotice>(world.alice).message, "12 rows");
  const auto later = world.connect(*members().alice);
  world.say(later, wire::Attach{job_id(1)});
  EXPECT_EQ(world.last<wire::JobNotice>(later).code, "truncated-map");
  world.disconnect(world.alice);
  world.forget();
  world.worker_succeeds(world.key);
  EXPECT_TRUE(world.sent<wire::JobStatus>(world.alice).empty());
  EXPECT_EQ(world.last<wire::JobStatus>(later).state, JobState::Finished);
}

TEST(Node, WordsOfAWorkerFitTheMessages) {
  RunningJob world;
  world.feed(wire::WorkerSaid{world.key, job::Progress{std::string(5000, 's'), 0.1, std::nullopt, 0, 0}});
  world.feed(wire::WorkerSaid{world.key, job::Notice{std::string(5000, 'c'), std::string(5000, 'm')}});
  world.pass(seconds(1));  // World::perform encodes and decodes every message
  world.feed(wire::WorkerSaid{world.key,
                              job::WorkerFailed{{std::string(5000, 'c'), std::string(5000, 'm'), job::Retry::Never}}});
  world.feed(wire::WorkerExited{world.key, 1, {}, {}});
  EXPECT_EQ(world.state(world.key), JobState::Failed);
}

// ---- patience
// -------------------------------------------------------------------------------------------------------------
TEST(Node, JobWithoutInputGivesItsCoresAwayAndGetsThemBack) {
  World world;
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1, 1000, "qa.test/1"));
  world.disconnect(alice);
  world.pass(minutes(2));
  EXPECT_EQ(world.effects_of<wire::StopWorker>().size(), 1U);
  world.feed(wire::WorkerExited{World::key(*members().alice, 1), -15, {}, {}});
  EXPECT_EQ(world.node->advert(world.now).cores_free, 8U);
  EXPECT_EQ(world.state(World::key(*members().alice, 1)), JobState::Queued);
  const auto again = world.connect(*members().alice);
  world.say(again, world.open(1, 1000, "qa.test/1"));
  EXPECT_EQ(world.workers.size(), 1U);
  EXPECT_EQ(world.last<wire::JobStatus>(again).state, JobState::Running);
}

TEST(Node, SilentClientThatStaysConnectedDoesNotKeepTakingCores) {
  World world;
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1));
  world.pass(minutes(10));
  EXPECT_EQ(world.node->advert(world.now).cores_free, 8U);
  world.say(alice, wire::StreamOffer{{job_id(1), "scan.f32", 0}, 1, 1000});
  EXPECT_EQ(world.node->advert(world.now).cores_free, 6U);
}

TEST(Node, JobThatNeverGetsItsInputFails) {
  World world;
  const auto alice = world.connect(*members().alice);
  world.say(alice, world.open(1));
  world.disconnect(alice);
  world.pass(minutes(61));
  EXPECT_EQ(world.node->find(World::key(*members().alice, 1))->failure->code, "timeout");
  EXPECT_TRUE(world.node->ledger().holds().empty());
}

// ---- storage, registries
// ----------------------------------------------------------------------------------------------------
TEST(Node, UnwritableJournalEndsTheService) {
  RunningJob world;
  world.forget();
  world.feed(wire::StorageFailed{{ErrorCode::Storage, "disk full"}});
  EXPECT_EQ(world.effects_of<wire::ClosePeer>().size(), 1U);
  const auto reports = world.effects_of<wire::Report>();
  ASSERT_FALSE(reports.empty());
  EXPECT_EQ(reports.front().event, "node.storage-failed");
  world.forget();
  world.say(world.alice, world.open(2));
  EXPECT_TRUE(world.effects.empty());
}

TEST(Node, AdvertReachesTheRegistryWhenItChanges) {
  NodeOptions options;
  options.registries = {{"127.0.0.1", 4000, members().registry->transport_key(), certs::Role::Registry, std::nullopt}};
  World world(options);
  const auto dials = world.effects_of<wire::Connect>();
  ASSERT_EQ(dials.size(), 1U);
  const auto registry = world.connect(*members().registry, dials.front().dial);
  const auto advert = [&] { return wire::decode_advert(world.last<wire::Announce>(registry).advert.body).value(); };
  EXPECT_EQ(advert().cores_free, 8U);
  EXPECT_EQ(advert().boot, 7U);
  EXPECT_EQ(advert().routes.front().control_port, 4100);
  world.pass(seconds(1));
  world.say(world.connect(*members().alice), world.open(1));
  EXPECT_EQ(advert().cores_free, 6U);
  EXPECT_EQ(advert().jobs_queued, 1U);
  const auto sequence = advert().sequence;
  world.pass(std::chrono::milliseconds(50));
  world.capacity(4, gibibytes(16), gibibytes(8));
  EXPECT_EQ(advert().cores_total, 4U);
  EXPECT_GT(advert().sequence, sequence);
}

}  // namespace
}  // namespace tomogrid::node::test
