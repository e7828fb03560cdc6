package natsembed_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/natsembed"
)

// A message survives two servers that run one after the other on one folder.
func Example() {
	dir, err := os.MkdirTemp("", "natsembed-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for range 2 {
		if err := greet(filepath.Join(dir, "nats")); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// healthy: true, stored as 1
	// healthy: true, stored as 2
}

func greet(dir string) error {
	unlock, err := natsembed.LockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	server, err := natsembed.Start(natsembed.Config{Dir: dir, Addr: "127.0.0.1:0", SyncAlways: true})
	if err != nil {
		return err
	}
	defer server.Stop()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "GREETINGS", Subjects: []string{"greetings"}}); err != nil {
		return err
	}
	ack, err := js.Publish(ctx, "greetings", []byte("hello"))
	if err != nil {
		return err
	}
	fmt.Printf("healthy: %v, stored as %d\n", server.Healthy().Err() == nil, ack.Sequence)
	return nil
}
