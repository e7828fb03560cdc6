package service_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/kittest"
)

func TestASharedConsumerThatIsDeletedComesBack(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.log.Add("a", 1)
	w.awaitTotal("echo-a", 1)
	if err := w.log.JS.DeleteConsumer(t.Context(), kittest.Stream, "counters-echo"); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Fatal(err)
	}
	w.log.Add("b", 2)
	w.awaitTotal("echo-b", 2)
	w.awaitTotal("echo-a", 1) // what it saw before changed nothing
}
