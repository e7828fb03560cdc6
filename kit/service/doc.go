// Package service runs one service from a declaration of all that it does: the commands it
// handles, the events it reacts to, the views it builds and the queries it answers.
//
// [Handle], [HandleWith] and [HandleWithActor] declare commands, [React] and
// [RevokeTokens] reactions, which [Timer] delays, [Call] what an [Effect] does outside, [Answer] queries. [Service.Run] serves them: commands and
// reactions as handlers of a Watermill router, queries as a NATS service. Any number of
// replicas may run. [Service.Permissions] derives from the same declaration what the service
// may do on NATS.
//
// A command takes effect once per id, and a reaction once per event and consumer, however
// often their messages are delivered: the event is appended on the condition that its entity
// has not changed since the decision, and the decision is made again if it has. Nothing rests
// on locks or deduplication windows.
//
// A command may take 5 seconds, waiting for a view included, and a reaction 10. Longer
// ones end with an Unavailable error.
//
// The server must have the streams that the declaration reads and appends to, DEADLETTERS,
// and the shared consumers of its reactions. RETRIES with a consumer "<name>-retries" lets
// dead letters be retried, DEFERRED with "<name>-deferred" lets commands be deferred; without
// those consumers neither happens. [RevokeTokens] needs the stream REVOCATIONS, and [Effect] CLAIMS. Run returns an error that wraps [streams.ErrMissing] if one of the
// streams does not exist.
//
// A message that fails is tried again after growing delays, and becomes a dead letter after
// six failures. An Unavailable error is not counted: such a message is tried for ever.
// Messages that only a newer program knows are left to newer replicas for a while.
package service
