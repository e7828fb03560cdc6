// Package codec tells the kit how the shop's events are written and read. It stands
// beside package shop, and not in it, so that the tests of a service can use it:
// shop imports every service.
package codec

import (
	"lonja/events"
	"lonja/kit/eventlog"
)

// Events is every event of the shop. It must not be changed.
var Events = eventlog.Codec{Type: events.Type, Subject: events.Subject, Encode: events.Encode, Decode: events.Decode, Knows: events.Known}
