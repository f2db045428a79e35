# Bytes in bulk. Bounds are in stream.cpp, which alone reads these.
@0xb2f4c1d07a3e9105;
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("tomogrid::wire::schema");

struct StreamOffer {
  job @0 :Data;                  # 16
  name @1 :Text;
  generation @2 :UInt32;
  number @3 :UInt32;
  length @4 :UInt64;
}
struct StreamCredit {
  number @0 :UInt32;
  prefix @1 :UInt64;
  bitmap @2 :Data;
  credit @3 :UInt64;
}
struct StreamEnd {
  number @0 :UInt32;
  length @1 :UInt64;
  root @2 :Data;                 # 32
}
struct StreamDone { number @0 :UInt32; }
struct StreamAbort {
  number @0 :UInt32;
  fromSender @1 :Bool;
  code @2 :Text;
  reason @3 :Text;
}
struct Join { session @0 :Data; }                     # 16
struct Joined {}
struct ChunkHeader {
  number @0 :UInt32;
  offset @1 :UInt64;
  length @2 :UInt32;
}
