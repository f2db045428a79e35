# One frame: any message. Numbers are never reused; a reader refuses those it does not know.
@0xb2f4c1d07a3e9106;
using Cxx = import "/capnp/c++.capnp";
using S = import "session.capnp";
using R = import "registry.capnp";
using P = import "placement.capnp";
using J = import "job.capnp";
using B = import "stream.capnp";
$Cxx.namespace("tomogrid::wire::schema");

struct Frame {
  union {
    greet @0 :S.Greet;
    hello @1 :S.Hello;
    welcome @2 :S.Welcome;
    revocationList @3 :S.RevocationList;
    bye @4 :S.Bye;
    announce @5 :R.Announce;
    renew @6 :R.Renew;
    withdraw @7 :R.Withdraw;
    leaseGranted @8 :R.LeaseGranted;
    leaseRefused @9 :R.LeaseRefused;
    watch @10 :R.Watch;
    snapshot @11 :R.Snapshot;
    changed @12 :R.Changed;
    lost @13 :R.Lost;
    pulse @14 :R.Pulse;
    place @15 :P.Place;
    cancelPlace @16 :P.CancelPlace;
    waiting @17 :P.Waiting;
    placed @18 :P.Placed;
    unplaceable @19 :P.Unplaceable;
    reserve @20 :P.Reserve;
    reserved @21 :P.Reserved;
    reserveRefused @22 :P.ReserveRefused;
    release @23 :P.Release;
    open @24 :J.Open;
    openRefused @25 :J.OpenRefused;
    jobStatus @26 :J.JobStatus;
    jobNotice @27 :J.JobNotice;
    attach @28 :J.Attach;
    cancelJob @29 :J.CancelJob;
    fetch @30 :J.Fetch;
    collected @31 :J.Collected;
    wiped @32 :J.Wiped;
    jobRefused @33 :J.JobRefused;
    listJobs @34 :J.ListJobs;
    jobList @35 :J.JobList;
    drain @36 :J.Drain;
    drained @37 :J.Drained;
    streamOffer @38 :B.StreamOffer;
    streamCredit @39 :B.StreamCredit;
    streamEnd @40 :B.StreamEnd;
    streamDone @41 :B.StreamDone;
    streamAbort @42 :B.StreamAbort;
    join @43 :B.Join;
    joined @44 :B.Joined;
    chunkHeader @45 :B.ChunkHeader;
  }
}
