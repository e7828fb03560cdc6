package audit

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja"
	"lonja/events"
	"lonja/kit/streams"
)

func TestSteps_CoverEveryEventType(t *testing.T) {
	other := []string{
		events.StockCounted{}.EventName(), events.StockAdjusted{}.EventName(), // levels
		events.StockReleased{}.EventName(), events.PaymentCaptured{}.EventName(), // one of two steps
		events.UserEmailClaimed{}.EventName(), events.UserEmailReleased{}.EventName(), // whose an address is
	}
	for _, typ := range events.Types() {
		event := strings.TrimPrefix(typ, "lonja.")
		if stepByEvent[event] == nothing && !slices.Contains(other, event) {
			t.Errorf("the audit does not know %s", event)
		}
	}
	for s := nothing + 1; s < steps; s++ {
		if s != orderSteps && (s.String() == "" || len(predecessors[s]) == 0) {
			t.Errorf("step %d (%q) may come after nothing known", s, s)
		}
	}
}

func TestEffects_NameDeclaredConsumers(t *testing.T) {
	config, err := streams.Parse(lonja.StreamsYAML)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range effects {
		i := slices.IndexFunc(config.Streams, func(s streams.Stream) bool { return s.Name == streamOf[historyOf(e.cause)] })
		if i < 0 || !slices.ContainsFunc(config.Streams[i].Consumers, func(c jetstream.ConsumerConfig) bool { return c.Durable == e.consumer }) {
			t.Errorf("%s has no consumer %s", streamOf[historyOf(e.cause)], e.consumer)
		}
	}
	for _, event := range []string{"email_claimed", "email_changed", "erased"} {
		if len(config.ConsumersOf(identityStream, "events.user.any."+event)) == 0 {
			t.Errorf("%s has no consumer of user.%s", identityStream, event)
		}
	}
}
