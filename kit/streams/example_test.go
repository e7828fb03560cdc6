package streams_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/natsembed"
	"lonja/kit/streams"
)

const orders = `
streams:
  - name: ORDERS
    subjects: [events.order.>]
    storage: file
    deny_delete: true
    consumers:
      - durable_name: billing-on-orders
        filter_subjects: [events.order.*.placed]
        ack_policy: explicit
        max_deliver: -1
`

// A new version of streams.yaml would delete events. The plan reports that, and is
// applied only with permission.
func Example() {
	if err := planAndApply(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// create stream ORDERS
	// create consumer billing-on-orders on ORDERS
	// update stream ORDERS: max_age null -> 86400000000000
	// stream ORDERS: max_age may delete messages in the stream; if you accept that, add --allow-loss ORDERS
	// applied
}

func planAndApply() error {
	js, stop, err := startServer()
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	config, err := streams.Parse([]byte(orders))
	if err != nil {
		return err
	}
	plan, err := config.Plan(ctx, js, 0)
	if err != nil {
		return err
	}
	for _, change := range plan.Changes {
		fmt.Println(change.Action, change.Target())
	}
	if err := plan.Apply(ctx, js, nil); err != nil {
		return err
	}

	config.Streams[0].MaxAge = 24 * time.Hour
	if plan, err = config.Plan(ctx, js, 0); err != nil {
		return err
	}
	for _, change := range plan.Changes {
		for _, d := range change.Fields {
			fmt.Printf("%s %s: %s %s -> %s\n", change.Action, change.Target(), d.Field, d.Is, d.Want)
		}
	}
	fmt.Println(plan.Apply(ctx, js, nil))
	if err := plan.Apply(ctx, js, []string{"ORDERS"}); err != nil {
		return err
	}
	fmt.Println("applied")
	return nil
}

// startServer starts a server with an empty store.
func startServer() (js jetstream.JetStream, stop func(), err error) {
	dir, err := os.MkdirTemp("", "streams-example-")
	if err != nil {
		return nil, nil, err
	}
	server, err := natsembed.Start(natsembed.Config{Dir: dir, Addr: "127.0.0.1:0"})
	if err != nil {
		return nil, nil, err
	}
	nc, err := nats.Connect(server.URL())
	if err != nil {
		return nil, nil, err
	}
	js, err = jetstream.New(nc)
	return js, func() { nc.Close(); server.Stop(); os.RemoveAll(dir) }, err
}

func ExampleMatches() {
	fmt.Println(streams.Matches("events.order.*.placed", "events.order.7.placed"))
	fmt.Println(streams.Matches("events.order.>", "events.order.*.placed"))
	fmt.Println(streams.Matches("events.order.*", "events.order.7.placed"))
	// Output:
	// true
	// true
	// false
}
