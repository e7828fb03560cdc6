// Package shoptest runs the shop's services in a test, on a real NATS server with the streams
// of streams.yaml and real SQLite files, all in temporary folders.
//
//	shop := shoptest.Start(t, catalog.New())
//	shop.Do(command.CreateProduct{Product: lamp}, staff, &created)
//
// A test of one service records the events of the others with Record, as if they had. Package
// servicetest describes the methods.
package shoptest

import (
	"testing"

	"lonja"
	"lonja/events"
	"lonja/kit/kittest/servicetest"
	"lonja/kit/service"
	"lonja/shop/codec"
)

// Shop is a running NATS server with the shop's streams, and a client of its services.
type Shop struct {
	*servicetest.World
	t testing.TB
}

// Codec is codec.Events, so that a test need not import both.
var Codec = codec.Events

// Start starts a server, applies streams.yaml, and runs one replica of each service until the
// test ends. It returns when they are ready; the test fails when one does not start.
func Start(t testing.TB, services ...*service.Service) *Shop {
	t.Helper()
	app := servicetest.Application{Name: lonja.Name, Codec: Codec, Streams: lonja.StreamsYAML}
	return &Shop{servicetest.Start(t, app, services...), t}
}

// Await reads the events of type E from the beginning of their stream, waits for the first
// one for which accept is true, and returns it. The test fails after ten seconds.
func Await[E events.Event](s *Shop, accept func(E) bool) E {
	s.t.Helper()
	var zero E
	stream, err := s.JS.StreamNameBySubject(s.t.Context(), events.SubjectsOf(events.Type(zero)))
	if err != nil {
		s.t.Fatal(err)
	}
	return servicetest.Await(s.World, stream, accept)
}
