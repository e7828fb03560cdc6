// Package projection builds read models, called views, from the events of JetStream
// streams. Each replica of a service keeps its views in SQLite files of its own.
//
// A [Definition] holds the SQL of the tables, the streams to read and the function that
// turns one event into rows. Make a [View] of it with [New], call [View.Open], run
// [View.Run] in a goroutine, and query the rows with [View.Get] and [View.Each].
//
// Every event takes effect in the rows exactly once: the rows of a batch and the checkpoint
// (stream, sequence, event id) commit in one transaction, and the acknowledgement follows.
// The view resumes from its checkpoint after any interruption. It first verifies that the
// stream still holds the event there; if not, it stops with [ErrLost]. Messages that cannot
// be decoded are given to Config.DeadLetter and skipped. A view whose file is lost or damaged, or whose
// definition has changed, is rebuilt from the first event while intact old rows keep
// answering queries. Readers see their own writes by waiting for a [Token].
package projection
