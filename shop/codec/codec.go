// Package codec connects the shop's events to the kit, which knows no event types. Every
// service.Config and every event log of the shop uses its Events. It is not part of package
// shop, which imports every service, so that the tests of a service can use it.
package codec

import (
	"lonja/events"
	"lonja/kit/eventlog"
)

// Events encodes and decodes every event of the shop. It may be used by several goroutines and
// must not be changed.
var Events = eventlog.Codec{Type: events.Type, Subject: events.Subject, Encode: events.Encode, Decode: events.Decode, Knows: events.Known, Sealed: events.SealedMembers}
