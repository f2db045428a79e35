// How members of a federation speak: messages, secured sessions, streams, and the loop that carries them.
//
//   machine.h        Machine, Event, Effect: the shape of every role's pure core
//   messages.h       Message: every message as a value, with its encoder and decoder
//   messages/*.h     the values, by group; messages/bounds.h: how long each list and text may be
//   ports.h          what a role lends its loop: journal, streams, workers, reports
//   loop.h           Loop: sockets in, effects out; StopOnSignal
//   ids.h            ids from a machine's own entropy
//
// Below them, pure and used by the loop alone: session.h (greet, hello, hello, welcome), stream.h (credit, acknowledgement,
// resumption), guard.h and knocks.h (who is ended, who may knock). The rest of this folder knows ZeroMQ, and nobody above
// it does. docs/protocol.md tells the whole.
#pragma once

#include "wire/ids.h"
#include "wire/loop.h"
#include "wire/machine.h"
#include "wire/messages.h"
#include "wire/ports.h"
