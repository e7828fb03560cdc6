package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/eventlog"
)

func TestRun_ReportsReusedEventIDsAndCommandIDs(t *testing.T) {
	s := newFixture(t)
	one, two, by, again := eventlog.NewID(), eventlog.NewID(), eventlog.NewID(), eventlog.NewID()
	s.recordAs(stockCounted(1, 0), one, by)
	s.recordAs(stockCounted(2, 0), one, again)
	s.recordAs(productCreated, two, by)
	want(t, s.audit(false, ""),
		fmt.Sprintf("once: INVENTORY:2 stock main: has the id %s, which INVENTORY:1 has too", one),
		fmt.Sprintf("once: INVENTORY:1 stock main: was caused by command %s, which already had an effect at CATALOG:1; a command has at most one", by))
}

func TestRun_ReportsUndecodableMessagesWithoutADeadLetter(t *testing.T) {
	s := newFixture(t)
	s.publish("events.order.ord_1.placed", "garbage", nil)
	s.recordAs(productCreated, "a", "b")
	header := eventlog.Envelope{ID: "c", Causation: "d", Type: events.Type(productCreated)}.Header()
	s.publish("events.product.other.created", `{"sku":"71053","name":"Lantern","price":{"amount":1,"currency":"GBP"}}`, header)
	header = eventlog.Envelope{ID: "e", Causation: "f", Type: "lonja.user.registered.v1"}.Header()
	s.publish("events.user.usr_ana.registered", `{"roles":["SECRET"]}`, header)
	want(t, s.audit(false, ""),
		`decoding: ORDERS:1: is not an event and has no dead letter (subject "events.order.ord_1.placed"): header ce-id occurs 0 times; an event has it once`,
		`decoding: CATALOG:2: is not an event and has no dead letter (subject "events.product.other.created"): lonja.product.created.v1 of "71053" does not belong on subject events.product.other.created`,
		`decoding: IDENTITY:1: is not an event and has no dead letter (subject "events.user.usr_ana.registered"): its content is not shown`)
	s.deadLetter("undecodable", "ORDERS", 1)
	s.deadLetter("undecodable", "CATALOG", 2)
	s.deadLetter("undecodable", "IDENTITY", 1)
	r := s.audit(false, "")
	if want(t, r); r.Undecodable != 3 || r.DeadLetters != 3 {
		t.Errorf("%d undecodable messages and %d dead letters, want 3 and 3", r.Undecodable, r.DeadLetters)
	}
}

func TestRun_ReportsMissingMessages(t *testing.T) {
	s := newFixture(t)
	s.recreate("CATALOG", func(c *jetstream.StreamConfig) { c.DenyDelete, c.DenyPurge = false, false })
	for n := range 7 {
		e := productCreated
		e.SKU = events.SKU(fmt.Sprint("sku", n))
		s.record(e)
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
	want(t, s.audit(false, ""),
		"configuration: stream CATALOG: deny_delete is nothing; streams.yaml says true",
		"configuration: stream CATALOG: deny_purge is nothing; streams.yaml says true",
		"log: stream CATALOG: begins at sequence 2, not at 1",
		"log: stream CATALOG: 3 messages were deleted; expected none",
		"log: CATALOG:1: is missing",
		"log: CATALOG:3: is missing, and so is every message up to 4",
		"log: CATALOG:6: is missing")
}

func TestRun_ReportsStreamsAndConsumersThatDifferFromTheirDeclaration(t *testing.T) {
	s := newFixture(t)
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
	want(t, s.audit(false, ""),
		"configuration: stream ORDERS: max_msgs is 1000; streams.yaml says nothing",
		"configuration: stream ORDERS: max_msg_size is 512; streams.yaml says 1048576",
		`configuration: stream ORDERS consumer payments-on-orders: filter_subjects is ["events.order.*.awaiting_payment"]; streams.yaml says ["events.order.*.awaiting_payment","events.order.*.cancelled","events.order.*.refund_requested"]`,
		"configuration: stream ORDERS consumer payments-on-orders: max_deliver is 1; streams.yaml says -1",
		"configuration: stream TIMERS consumer inventory-expiry: does not exist")
}

func TestRun_FailsWhenAStreamIsMissing(t *testing.T) {
	s := newFixture(t)
	if err := s.JS.DeleteStream(t.Context(), "PAYMENTS"); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Config{JetStream: s.JS, Streams: s.Streams})
	if err == nil || !strings.Contains(err.Error(), "stream PAYMENTS does not exist") {
		t.Errorf("got %v", err)
	}
}

// recreate deletes a stream and creates it with a changed configuration.
func (s *fixture) recreate(name string, change func(*jetstream.StreamConfig)) {
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
