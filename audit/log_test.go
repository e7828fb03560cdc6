package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/eventlog"
)

func TestAnIdIsUsedOnceAndACommandHasOneEffect(t *testing.T) {
	s := newScene(t)
	one, two, by, again := eventlog.NewID(), eventlog.NewID(), eventlog.NewID(), eventlog.NewID()
	s.caused(counts(1, 0), one, by)
	s.caused(counts(2, 0), one, again)
	s.caused(offers, two, by)
	want(t, s.audited(false, ""),
		fmt.Sprintf("once: INVENTORY:2 stock main: its id %s is that of INVENTORY:1, too", one),
		fmt.Sprintf("once: INVENTORY:1 stock main: its command %s had its effect at CATALOG:1; a command has one at most", by))
}

func TestWhatIsNoFactIsNamedUnlessItIsKnown(t *testing.T) {
	s := newScene(t)
	s.publishes("events.order.ord_1.placed", "garbage", nil)
	s.caused(offers, "a", "b")
	header := eventlog.Envelope{ID: "c", Causation: "d", Type: events.Type(offers)}.Header()
	s.publishes("events.product.other.created", `{"sku":"71053","name":"Lantern","price":{"amount":1,"currency":"GBP"}}`, header)
	header = eventlog.Envelope{ID: "e", Causation: "f", Type: "lonja.user.registered.v1"}.Header()
	s.publishes("events.user.usr_ana.registered", `{"roles":["SECRET"]}`, header)
	want(t, s.audited(false, ""),
		`decoding: ORDERS:1: is no fact, and there is no dead letter of it (subject "events.order.ord_1.placed"): header ce-id occurs 0 times; an event has it once`,
		`decoding: CATALOG:2: is no fact, and there is no dead letter of it (subject "events.product.other.created"): lonja.product.created.v1 of "71053" does not belong on subject events.product.other.created`,
		`decoding: IDENTITY:1: is no fact, and there is no dead letter of it (subject "events.user.usr_ana.registered"): what it holds is not shown`)
	s.putsAside("undecodable", "ORDERS", 1)
	s.putsAside("undecodable", "CATALOG", 2)
	s.putsAside("undecodable", "IDENTITY", 1)
	r := s.audited(false, "")
	if want(t, r); r.NoFacts != 3 || r.DeadLetters != 3 {
		t.Errorf("%d messages that are no facts and %d dead letters, want 3 and 3", r.NoFacts, r.DeadLetters)
	}
}

func TestAMessageThatIsMissingIsNamed(t *testing.T) {
	s := newScene(t)
	s.recreated("CATALOG", func(c *jetstream.StreamConfig) { c.DenyDelete, c.DenyPurge = false, false })
	for n := range 7 {
		e := offers
		e.SKU = events.SKU(fmt.Sprint("sku", n))
		s.says(e)
	}
	stream, err := s.JS.Stream(t.Context(), "CATALOG")
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{1, 3, 4, 6} {
		if err := stream.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	want(t, s.audited(false, ""),
		"configuration: stream CATALOG: deny_delete is nothing; streams.yaml says true",
		"configuration: stream CATALOG: deny_purge is nothing; streams.yaml says true",
		"log: stream CATALOG: begins at 2, not at 1",
		"log: stream CATALOG: 3 messages were deleted, there should be none",
		"log: CATALOG:1: is missing",
		"log: CATALOG:3: is missing, and all up to 4",
		"log: CATALOG:6: is missing")
}

func TestStreamsAndConsumersAreAsDeclared(t *testing.T) {
	s := newScene(t)
	stream, err := s.JS.Stream(t.Context(), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	changed := stream.CachedInfo().Config
	changed.MaxMsgs, changed.MaxMsgSize = 1_000, 512
	if _, err := s.JS.UpdateStream(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	cons, err := stream.Consumer(t.Context(), "payments-on-orders")
	if err != nil {
		t.Fatal(err)
	}
	config := cons.CachedInfo().Config
	config.MaxDeliver = 1
	config.FilterSubjects = config.FilterSubjects[:1]
	if _, err := stream.UpdateConsumer(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := s.JS.DeleteConsumer(t.Context(), "TIMERS", "inventory-expiry"); err != nil {
		t.Fatal(err)
	}
	want(t, s.audited(false, ""),
		"configuration: stream ORDERS: max_msgs is 1000; streams.yaml says nothing",
		"configuration: stream ORDERS: max_msg_size is 512; streams.yaml says 1048576",
		`configuration: stream ORDERS consumer payments-on-orders: filter_subjects is ["events.order.*.awaiting_payment"]; streams.yaml says ["events.order.*.awaiting_payment","events.order.*.cancelled"]`,
		"configuration: stream ORDERS consumer payments-on-orders: max_deliver is 1; streams.yaml says -1",
		"configuration: stream TIMERS consumer inventory-expiry: is not there")
}

func TestAStreamThatIsGoneEndsTheAudit(t *testing.T) {
	s := newScene(t)
	if err := s.JS.DeleteStream(t.Context(), "PAYMENTS"); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Config{JetStream: s.JS, Streams: s.Streams})
	if err == nil || !strings.Contains(err.Error(), "stream PAYMENTS is not there") {
		t.Errorf("got %v", err)
	}
}

// recreated makes a stream anew, otherwise than streams.yaml says.
func (s *scene) recreated(name string, change func(*jetstream.StreamConfig)) {
	s.t.Helper()
	stream, err := s.JS.Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	change(&config)
	if err := s.JS.DeleteStream(s.t.Context(), name); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.JS.CreateStream(s.t.Context(), config); err != nil {
		s.t.Fatal(err)
	}
}
