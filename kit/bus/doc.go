// Package bus connects Watermill and NATS: how services are asked, how they read events, and
// what happens to messages that nobody could handle.
//
// A [Client] sends commands and queries as NATS requests, defers commands for services that
// are down, and follows change notifications. [RequestSubscriber] brings requests to a
// Watermill router, [StreamSubscriber] the messages of a shared durable consumer. Events are
// published by eventlog.Publisher. [DeadLetterQueue] keeps messages that failed for good, and
// hands them back to be retried.
//
// Requests arrive at most once, so a client that hears no answer sends the command again with
// the same id. Messages of a stream arrive at least once and in no order. Either way the
// handler must expect duplicates; package service makes them harmless.
//
// The subscribers are not those of watermill-nats, whose JetStream subscriber can panic on
// shutdown, ignores the consumer's configuration and loses the sequence. Its marshaler is
// used, so any Watermill program can read what is sent here, and the other way round.
package bus
