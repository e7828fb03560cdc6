// Package shoptest runs the shop's services in a test; see servicetest.
package shoptest

import (
	"testing"

	"lonja"
	"lonja/events"
	"lonja/kit/kittest/servicetest"
	"lonja/kit/service"
	"lonja/shop/codec"
)

// Shop is a NATS server with the shop's streams, and the services that were started.
type Shop struct {
	*servicetest.World
	t testing.TB
}

// Codec is the shop's.
var Codec = codec.Events

// Start starts a server, applies streams.yaml and runs the services until the
// test ends. The test fails when a service does not start.
func Start(t testing.TB, services ...*service.Service) *Shop {
	t.Helper()
	app := servicetest.Application{Name: lonja.Name, Codec: Codec, Streams: lonja.StreamsYAML}
	return &Shop{servicetest.Start(t, app, services...), t}
}

// Await waits until an event of type E for which accept is true is on its
// stream, from the beginning of the log, and returns it. The test fails after
// ten seconds.
func Await[E events.Event](s *Shop, accept func(E) bool) E {
	s.t.Helper()
	var zero E
	stream, err := s.JS.StreamNameBySubject(s.t.Context(), events.SubjectsOf(events.Type(zero)))
	if err != nil {
		s.t.Fatal(err)
	}
	return servicetest.Await(s.World, stream, accept)
}
