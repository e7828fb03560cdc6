// Package natsembed runs a NATS server with JetStream inside the process, and
// recovers its store after a failed disk.
//
// After one failed write or sync, JetStream rejects all messages of a stream until
// its store is opened again. A [Server] detects this within a second, and opens the
// store again as soon as the disk has space and can sync files. Its URL stays the
// same, so clients reconnect by themselves.
//
// Before it opens a store, it copies every file whose content may exist only in the
// page cache to a new, synced file. When it opens a store again, it makes sure that no stream ends before the
// last sequence that it had while the store was healthy.
//
// [Server.Healthy] reports to the rest of the process whether messages are accepted,
// so that it can reject requests at once, with the reason.
//
// An acknowledged message survives the end of the process and, with
// [Config.SyncAlways], a power cut. With [Config.SyncGroup], it survives a power cut
// once [Server.Synced] has returned nil for it: callers that wait at the same time share
// one sync, so hundreds of them take hardly longer than one.
//
// [LockDir] keeps two processes from using one folder. [Start] does not lock its
// folder: call LockDir before it.
package natsembed
