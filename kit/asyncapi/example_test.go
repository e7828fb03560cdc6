package asyncapi_test

import (
	"fmt"
	"log"
	"maps"
	"reflect"
	"slices"

	"lonja/kit/asyncapi"
	"lonja/kit/httpapi/apitest"
	"lonja/kit/kittest"
	"lonja/kit/service"
	"lonja/kit/streams"
)

const streamsYAML = `
streams:
  - name: COUNTERS
    subjects: [events.counter.>]
  - name: DEADLETTERS
    subjects: [deadletters.>]
`

// added is the one type of event that the service "counters" records.
func added(subject string) asyncapi.Event {
	return asyncapi.Event{Name: "counter.added.v1", Type: "kittest.counter.added.v1", Subject: subject, Struct: reflect.TypeFor[kittest.Added]()}
}

// A service is described by what it declares: its commands, queries, views and events.
// The document tells other programs the subjects, headers and schemas.
func Example() {
	config, err := streams.Parse([]byte(streamsYAML))
	if err != nil {
		log.Fatal(err)
	}
	doc, err := asyncapi.New(asyncapi.Config{
		Info:     asyncapi.Info{Title: "Counters", Version: "1.0.0"},
		Services: []*service.Service{apitest.Counters()}, Streams: config,
		Events: []asyncapi.Event{added("events.counter.*.added")},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Operations)) {
		o := doc.Operations[name]
		fmt.Println(o.XService, o.Action+"s", doc.ChannelOf(o).Address)
	}
	// Output:
	// counters receives commands.counters.add
	// counters receives events.counter.{counterId}.added
	// counters receives health.counters
	// counters receives queries.counters.additions
	// counters receives queries.counters.total
	// counters receives rebuild.counters
	// counters sends changes.counters.{key}
	// counters sends deadletters.{consumer}.{stream}.{sequence}
	// counters sends events.counter.{counterId}.added
}
