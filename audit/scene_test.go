package audit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// scene is a log written by hand.
type scene struct {
	*shoptest.Shop
	t *testing.T
}

func newScene(t *testing.T) *scene { return &scene{shoptest.Start(t), t} }

// says records events, one after the other.
func (s *scene) says(facts ...events.Event) {
	s.t.Helper()
	for _, e := range facts {
		stream, err := s.JS.StreamNameBySubject(s.t.Context(), events.Subject(e))
		if err != nil {
			s.t.Fatal(err)
		}
		s.Record(stream, e)
	}
}

// publishes publishes a message as anyone could with the nats CLI.
func (s *scene) publishes(subject, data string, header nats.Header) {
	s.t.Helper()
	if _, err := s.JS.PublishMsg(s.t.Context(), &nats.Msg{Subject: subject, Data: []byte(data), Header: header}); err != nil {
		s.t.Fatal(err)
	}
}

// caused records an event under ids of its own choice.
func (s *scene) caused(e events.Event, id, causation string) {
	s.t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		s.t.Fatal(err)
	}
	header := eventlog.Envelope{ID: id, Type: events.Type(e), Time: time.Now(), Causation: causation, Actor: eventlog.Actor{ID: "usr_ana"}}.Header()
	s.publishes(events.Subject(e), string(data), header)
}

// handled lets consumers acknowledge all that they have.
func (s *scene) handled(consumers ...string) {
	s.t.Helper()
	for _, name := range consumers {
		cons, err := s.Streams.Ensure(s.t.Context(), s.JS, name)
		if err != nil {
			s.t.Fatal(err)
		}
		for left := s.filtered(cons) - cons.CachedInfo().Delivered.Consumer; left > 0; left-- {
			options := []jetstream.FetchOpt{jetstream.FetchMaxWait(5 * time.Second)}
			if group := s.Streams.PriorityGroup(name); group != "" {
				options = append(options, jetstream.FetchPriorityGroup(group))
			}
			m, err := cons.Next(options...)
			if err != nil {
				s.t.Fatal(err)
			}
			if err := m.DoubleAck(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// everyReaction are the shared consumers of all streams of events.
func (s *scene) everyReaction() (names []string) {
	for _, stream := range s.Streams.Streams {
		if strings.HasPrefix(stream.Subjects[0], "events.") {
			names = append(names, s.Streams.SharedConsumers(stream.Name)...)
		}
	}
	return names
}

// filtered is how many messages a consumer brings in all. What it says itself
// may lag behind what was just published.
func (s *scene) filtered(cons jetstream.Consumer) (count uint64) {
	s.t.Helper()
	stream, err := s.JS.Stream(s.t.Context(), cons.CachedInfo().Stream)
	if err != nil {
		s.t.Fatal(err)
	}
	config := cons.CachedInfo().Config
	for _, filter := range append(config.FilterSubjects, config.FilterSubject) {
		if filter == "" {
			continue
		}
		info, err := stream.Info(s.t.Context(), jetstream.WithSubjectFilter(filter))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, messages := range info.State.Subjects {
			count += messages
		}
	}
	return count
}

// putsAside puts a message aside as a reaction does that gives up.
func (s *scene) putsAside(consumer, stream string, seq uint64) {
	s.t.Helper()
	kept, err := bus.NewDeadLetterQueue(s.JS).Add(s.t.Context(), bus.DeadLetter{Consumer: consumer, Stream: stream, Sequence: seq, Reason: "a test's"})
	if err != nil || !kept {
		s.t.Fatal(kept, err)
	}
}

// audited audits the scene.
func (s *scene) audited(settled bool, dir string, services ...*service.Service) *Report {
	s.t.Helper()
	report, err := Run(s.t.Context(), Config{JetStream: s.JS, Language: shoptest.Codec, Streams: s.Streams,
		Services: services, Dir: dir, Settled: settled})
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// want fails the test unless a report's lines are these, in any order.
func want(t *testing.T, r *Report, lines ...string) {
	t.Helper()
	var got []string
	for _, v := range r.Violations {
		got = append(got, v.String())
	}
	slices.Sort(got)
	slices.Sort(lines)
	if !slices.Equal(got, lines) || r.Total() != len(lines) {
		t.Errorf("%d violations:\n", r.Total())
		for _, line := range got {
			t.Logf("got   %s", line)
		}
		for _, line := range lines {
			t.Logf("want  %s", line)
		}
	}
}

// The events of an order of two lanterns.

func gbp(pence int64) events.Money { return events.Money{Amount: pence, Currency: "GBP"} }

func lanterns(n int64) []events.Quantity { return []events.Quantity{{SKU: "71053", Quantity: n}} }

func lines(n int64) []events.OrderItem {
	return []events.OrderItem{{SKU: "71053", Name: "Lantern", Quantity: n, UnitPrice: gbp(339), LineTotal: gbp(339 * n)}}
}

func counts(onHand, reserved int64) events.Event {
	return events.StockCounted{Location: "main", Level: events.Level{SKU: "71053", OnHand: onHand, Reserved: reserved}}
}

func cancels(reason string, wasPaid bool) events.Event {
	return events.OrderCancelled{OrderID: "ord_1", Reason: reason, WasPaid: wasPaid}
}

func commits(n int64, fromAvailable bool) events.Event {
	return events.StockCommitted{Location: "main", OrderID: "ord_1", Lines: lanterns(n), FromAvailable: fromAvailable}
}

func releases(n int64, reason string) events.Event {
	e := events.StockReleased{Location: "main", OrderID: "ord_1", Reason: reason}
	if n > 0 {
		e.Lines = lanterns(n)
	}
	return e
}

func captures(pence int64, unwanted bool) events.Event {
	return events.PaymentCaptured{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(pence), Unwanted: unwanted}
}

var (
	offers   = events.ProductCreated{Product: events.Product{SKU: "71053", Name: "Lantern", Price: gbp(339)}}
	places   = events.OrderPlaced{OrderID: "ord_1", CustomerID: "usr_ana", Items: lines(2), Total: gbp(678), TotalItems: 2}
	reserves = events.StockReserved{Location: "main", OrderID: "ord_1", Lines: lanterns(2)}
	refuses  = events.StockRefused{Location: "main", OrderID: "ord_1"}
	gives    = events.StockReturned{Location: "main", OrderID: "ord_1", Lines: lanterns(2)}
	awaits   = events.OrderAwaitingPayment{OrderID: "ord_1", Amount: gbp(678)}
	pays     = events.OrderPaid{OrderID: "ord_1", PaymentID: "pay_1", Amount: gbp(678), Lines: lanterns(2)}
	ships    = events.OrderShipped{OrderID: "ord_1"}
	delivers = events.OrderDelivered{OrderID: "ord_1"}
	requests = events.PaymentRequested{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(678), Provider: "sandbox", URL: "/pay"}
	declines = events.PaymentDeclined{PaymentID: "pay_1", OrderID: "ord_1"}
	expires  = events.PaymentExpired{PaymentID: "pay_1", OrderID: "ord_1"}
	voids    = events.PaymentVoided{PaymentID: "pay_1", OrderID: "ord_1"}
	refunds  = events.PaymentRefunded{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(678)}
)

// The same for nothing.
var (
	gift = events.OrderPlaced{OrderID: "ord_1", CustomerID: "usr_ana", Total: gbp(0), TotalItems: 2,
		Items: []events.OrderItem{{SKU: "71053", Name: "Lantern", Quantity: 2, UnitPrice: gbp(0), LineTotal: gbp(0)}}}
	received = events.OrderPaid{OrderID: "ord_1", PaymentID: "pay_1", Amount: gbp(0), Lines: lanterns(2)}
)

// all puts events in a row.
func all(facts ...events.Event) []events.Event { return facts }

// then puts events after others.
func then(before []events.Event, facts ...events.Event) []events.Event {
	return slices.Concat(before, facts)
}

// stocked is a shop with ten lanterns, ordered one that awaits its payment.
var (
	stocked = all(offers, counts(10, 0))
	ordered = then(stocked, places, reserves, awaits, requests)
	bought  = then(ordered, captures(678, false), pays, commits(2, false))
)

func inAnHour() time.Time { return time.Now().Add(time.Hour) }
