// Package seed fills a shop's log with orders as its services would have recorded them, but
// thousands of times faster: no message is requested, decided on, synced or waited for.
//
// Every event goes through the log's own encoder and publisher, with the headers, the derived
// ids, the sealed members and the expected sequences of the real one; a test compares a seeded
// order with one that a shop has recorded. The server checks the expected sequences. So an
// audit of a seeded shop finds nothing, and its services go on as after any restart.
//
// What order n is, and what becomes of it, follows from the seed and n alone. The keys of
// accounts and what they seal are random.
package seed
