// Package kittest has what the kit's own tests run on: an example domain, a real NATS
// server with a store on disk, and faults to inject.
//
// The domain is a set of counters with one event, [Added]: "a number was added to a
// counter". A counter is an entity, its name is the entity's id, and its state is the
// sum. [Codec] writes and reads the event; its subject is events.counter.<name>.added on
// the stream [Stream].
//
// A second event, [Noted], has a sealed member. [SealedCodec] writes and reads both, and [Keys]
// is a key ring in memory.
//
// [New] starts a server and opens the event log of the counters. The server, its
// connection and its folder go away when the test ends:
//
//	func TestSum(t *testing.T) {
//		log := kittest.New(t)
//		log.Add("visits", 2)
//		log.Add("visits", 3)
//		// Load the events of "visits" and add them up.
//	}
//
// Three faults can be injected: a disk that is full or cannot sync
// ([Log.InjectFault]), a disk that cannot be read ([Log.MakeUnreadable]), and a
// connection that loses requests ([Log.ConnectLossy]).
//
// The package is for tests and examples only. Its functions end the test on errors.
package kittest
