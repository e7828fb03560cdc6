// Package keyring keeps the keys that seal events: one for each owner, such as a person.
// When an owner's key is destroyed, what it sealed can never be read again, in no copy of
// the log. That is how an application forgets somebody although events are never deleted.
//
// The keys are messages on a stream of their own, [Stream]. Each is wrapped, that is
// encrypted, by a key-encryption key (KEK), which is in a file that belongs neither into the
// log nor into its backups; see [KEKs]. Without the KEK the stream tells nothing, and
// without the stream the KEK opens nothing.
//
//	keys.<owner>    {"kek": "1a2b3c4d", "key": "<base64>"}
//	keys.<owner>    {"destroyed": true}
//
// A [Ring] makes, caches and destroys keys. It is the eventlog.KeyRing of a program:
//
//	keks, err := keyring.LoadKEKs(file)
//	log.Keys = keyring.New(js, keks)
//
// A key that was destroyed is not used any more after [CacheTTL], by no process, and is
// never made again. [Ring.Destroy] also overwrites it on the disk of the server. Two places
// may keep the wrapped key for longer: a backup of the stream, and, on a replicated stream,
// the servers' own logs, until the servers compact them. So backups of the stream should be
// kept apart from those of events, and expire; and after a KEK was replaced by [Ring.Rewrap]
// and removed with [RetireKEKs], older copies of the stream are unreadable.
package keyring
