// Package eventlog appends events to JetStream streams and loads them back. The log
// is the database: everything else can be rebuilt from it.
//
// A [Log] is made with [New] from a connection and a [Codec], which maps the Go types of
// an application's events to event types, subjects and JSON. [Log.Append] is conditional:
// it stores the event only if the last message of the entity still has the sequence that
// the caller has seen, and returns [ErrConflict] otherwise. [Log.Last] and [Log.Load] read
// an entity's events; [Log.At] reads one message by its sequence.
//
// A returned sequence is the stream's acknowledgement. [ErrOutcomeUnknown] means that none
// came: the event may be stored or not, and the caller must read the log to find out. Reads
// that a decision rests on ask the stream's leader, because any other server may be behind.
// A stream whose sequences go back was replaced or has lost events; from then on the log
// appends nothing and [Log.DataLoss] returns the reason.
//
// Members of an event that must be forgotten one day are sealed by a key of their owner; see
// [Sealed]. Destroying the key makes them unreadable in every copy of the log.
//
// Every message carries an [Envelope] (CloudEvents 1.0 attributes as NATS headers).
// Events go out through a [Publisher], which is a Watermill publisher.
package eventlog
