package service_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/kittest"
)

func TestReaction_GoesOnWhenItsConsumerWasDeleted(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.log.Add("a", 1)
	f.awaitTotal("echo-a", 1)
	if err := f.log.JS.DeleteConsumer(t.Context(), kittest.Stream, "counters-echo"); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Fatal(err)
	}
	f.log.Add("b", 2)
	f.awaitTotal("echo-b", 2)
	f.awaitTotal("echo-a", 1) // what it saw before changed nothing
}
