package audit

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// fixture is a log that is written by hand.
type fixture struct {
	*shoptest.Shop
	t          *testing.T
	lastRefund string // the id of the last event payment.refunded
}

func newFixture(t *testing.T) *fixture { return &fixture{Shop: shoptest.Start(t), t: t} }

// record records events one after another. A credit note to lastRefund is to the refund that was
// recorded last.
func (s *fixture) record(facts ...events.Event) {
	s.t.Helper()
	for _, e := range facts {
		stream, err := s.JS.StreamNameBySubject(s.t.Context(), events.Subject(e))
		if err != nil {
			s.t.Fatal(err)
		}
		if note, is := e.(events.ReceiptCredited); is && note.Refund == lastRefund {
			note.Refund = s.lastRefund
			e = note
		}
		position := s.Record(stream, e)
		if _, is := e.(events.PaymentRefunded); is {
			s.lastRefund = s.idAt(stream, position)
		}
	}
}

const lastRefund = "last"

// idAt returns the id of the event at a position of a stream.
func (s *fixture) idAt(stream, position string) string {
	s.t.Helper()
	var seq uint64
	if _, err := fmt.Sscanf(position, stream+":%d", &seq); err != nil {
		s.t.Fatal(err)
	}
	r, err := eventlog.New(s.JS, shoptest.Codec).At(s.t.Context(), stream, seq)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.ID
}

// publish publishes a raw message, as anyone could with the nats CLI.
func (s *fixture) publish(subject, data string, header nats.Header) {
	s.t.Helper()
	if _, err := s.JS.PublishMsg(s.t.Context(), &nats.Msg{Subject: subject, Data: []byte(data), Header: header}); err != nil {
		s.t.Fatal(err)
	}
}

// recordAs records an event with the given event id and command id.
func (s *fixture) recordAs(e events.Event, compactID, causation string) {
	s.t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		s.t.Fatal(err)
	}
	header := eventlog.Envelope{ID: compactID, Type: events.Type(e), Time: time.Now(), Causation: causation, Actor: eventlog.Actor{ID: "usr_ana"}}.Header()
	s.publish(events.Subject(e), string(data), header)
}

// acknowledge makes consumers acknowledge all their messages.
func (s *fixture) acknowledge(consumers ...string) {
	s.t.Helper()
	for _, name := range consumers {
		cons, err := s.Streams.Ensure(s.t.Context(), s.JS, name)
		if err != nil {
			s.t.Fatal(err)
		}
		for left := s.matching(cons) - cons.CachedInfo().Delivered.Consumer; left > 0; left-- {
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

// everyReaction returns the shared consumers of all streams of events.
func (s *fixture) everyReaction() (names []string) {
	for _, stream := range s.Streams.Streams {
		if strings.HasPrefix(stream.Subjects[0], "events.") {
			names = append(names, s.Streams.SharedConsumers(stream.Name)...)
		}
	}
	return names
}

// matching counts the messages that match a consumer's filters. The consumer's own
// count can lag behind what was just published.
func (s *fixture) matching(cons jetstream.Consumer) (count uint64) {
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

// deadLetter stores a dead letter as a reaction does that gives up.
func (s *fixture) deadLetter(consumer, stream string, seq uint64) {
	s.t.Helper()
	kept, err := bus.NewDeadLetterQueue(s.JS).Add(s.t.Context(), bus.DeadLetter{Consumer: consumer, Stream: stream, Sequence: seq, Reason: "a test's"})
	if err != nil || !kept {
		s.t.Fatal(kept, err)
	}
}

// audit audits the log.
func (s *fixture) audit(settled bool, dir string, services ...*service.Service) *Report {
	s.t.Helper()
	report, err := Run(s.t.Context(), Config{JetStream: s.JS, Codec: shoptest.Codec, Streams: s.Streams,
		Services: services, Dir: dir, Keys: keyring.New(s.JS, s.KEKs), Settled: settled})
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// auditWith audits the log, saves the audit's state in a file unless that is "", and goes on
// from another one unless that is "".
func (s *fixture) auditWith(save, since string) *Report {
	s.t.Helper()
	c := Config{JetStream: s.JS, Codec: shoptest.Codec, Streams: s.Streams, Keys: keyring.New(s.JS, s.KEKs), Save: save}
	if since != "" {
		var err error
		if c.Since, err = LoadState(since); err != nil {
			s.t.Fatal(err)
		}
	}
	report, err := Run(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// recordAndWant records events and audits them: all at once, and from every point at which an
// audit of what was recorded so far finds nothing. Each must find the same.
func (s *fixture) recordAndWant(given []events.Event, lines ...string) *Report {
	s.t.Helper()
	dir, saved := s.t.TempDir(), []string{}
	for i, e := range given {
		file := filepath.Join(dir, strconv.Itoa(i))
		if s.auditWith(file, "").Saved {
			saved = append(saved, file)
		}
		s.record(e)
	}
	r := s.audit(false, "")
	want(s.t, r, lines...)
	for _, file := range saved {
		since := s.auditWith("", file)
		want(s.t, since, lines...)
		if !maps.Equal(since.Orders, r.Orders) || !maps.Equal(since.Users, r.Users) || since.UnderWay != r.UnderWay {
			s.t.Errorf("since %s: orders %v, users %v, %d under way; from the beginning %v, %v, %d", file, since.Orders, since.Users, since.UnderWay, r.Orders, r.Users, r.UnderWay)
		}
	}
	if len(saved) == 0 {
		s.t.Error("nothing was saved, not even of the empty log")
	}
	return r
}

// want fails the test unless the report holds these violations, in any order.
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

func stockCounted(onHand, reserved int64) events.Event {
	return events.StockCounted{Location: "main", Level: events.Level{SKU: "71053", OnHand: onHand, Reserved: reserved}}
}

func orderCancelled(reason string, wasPaid bool) events.Event {
	return events.OrderCancelled{OrderID: "ord_1", Reason: reason, WasPaid: wasPaid}
}

func stockCommitted(n int64, fromAvailable bool) events.Event {
	return events.StockCommitted{Location: "main", OrderID: "ord_1", Lines: lanterns(n), FromAvailable: fromAvailable}
}

func stockReleased(n int64, reason string) events.Event {
	e := events.StockReleased{Location: "main", OrderID: "ord_1", Reason: reason}
	if n > 0 {
		e.Lines = lanterns(n)
	}
	return e
}

func paymentCaptured(pence int64, unwanted bool) events.Event {
	return events.PaymentCaptured{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(pence), Unwanted: unwanted}
}

var (
	productCreated   = events.ProductCreated{Product: events.Product{SKU: "71053", Name: "Lantern", Price: gbp(339)}}
	orderPlaced      = events.OrderPlaced{OrderID: "ord_1", CustomerID: "usr_ana", Items: lines(2), Total: gbp(678), TotalItems: 2}
	stockReserved    = events.StockReserved{Location: "main", OrderID: "ord_1", Lines: lanterns(2)}
	stockRefused     = events.StockRefused{Location: "main", OrderID: "ord_1"}
	stockReturned    = events.StockReturned{Location: "main", OrderID: "ord_1", Lines: lanterns(2)}
	awaitingPayment  = events.OrderAwaitingPayment{OrderID: "ord_1", Amount: gbp(678)}
	orderPaid        = events.OrderPaid{OrderID: "ord_1", PaymentID: "pay_1", Amount: gbp(678), Lines: lanterns(2)}
	orderShipped     = events.OrderShipped{OrderID: "ord_1"}
	orderDelivered   = events.OrderDelivered{OrderID: "ord_1"}
	paymentRequested = events.PaymentRequested{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(678), Provider: "sandbox", URL: "/pay"}
	paymentDeclined  = events.PaymentDeclined{PaymentID: "pay_1", OrderID: "ord_1"}
	paymentExpired   = events.PaymentExpired{PaymentID: "pay_1", OrderID: "ord_1"}
	paymentVoided    = events.PaymentVoided{PaymentID: "pay_1", OrderID: "ord_1"}
	paymentRetried   = events.PaymentRetried{PaymentID: "pay_1", OrderID: "ord_1", Attempt: 2, Provider: "stripe"}
	attemptHasFailed = events.PaymentAttemptFailed{PaymentID: "pay_1", OrderID: "ord_1", Attempt: 1, Reason: events.AttemptDeclined}
	pageHasOpened    = events.PaymentOpened{PaymentID: "pay_1", OrderID: "ord_1", Attempt: 2, Reference: "cs_1", URL: "https://pay"}
	pageHasClosed    = events.PaymentPageClosed{PaymentID: "pay_1", OrderID: "ord_1", Attempt: 2}
	paymentFlagged   = events.PaymentFlagged{PaymentID: "pay_1", OrderID: "ord_1", Attempt: 1, Reason: events.FlaggedAmount, Detail: "1 pence"}
	moneyCameAgain   = events.PaymentCaptured{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(678), Unwanted: true, Again: true, Attempt: 1}
	moneyWentBack    = events.PaymentRefunded{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(678), Again: true, Attempt: 1}
	paymentRefunded  = events.PaymentRefunded{PaymentID: "pay_1", OrderID: "ord_1", Amount: gbp(678)}
	receiptIssued    = events.ReceiptIssued{Number: 1, OrderID: "ord_1", Amount: gbp(678)}
	receiptCredited  = events.ReceiptCredited{Number: 1, OrderID: "ord_1", Receipt: 1, Refund: lastRefund, Amount: gbp(678)}
)

// The same order with a total of zero.
var (
	freeOrderPlaced = events.OrderPlaced{OrderID: "ord_1", CustomerID: "usr_ana", Total: gbp(0), TotalItems: 2,
		Items: []events.OrderItem{{SKU: "71053", Name: "Lantern", Quantity: 2, UnitPrice: gbp(0), LineTotal: gbp(0)}}}
	freeOrderPaid     = events.OrderPaid{OrderID: "ord_1", PaymentID: "pay_1", Amount: gbp(0), Lines: lanterns(2)}
	freeReceiptIssued = events.ReceiptIssued{Number: 1, OrderID: "ord_1", Amount: gbp(0)}
)

// list returns its arguments.
func list(facts ...events.Event) []events.Event { return facts }

// extend returns a history followed by more events.
func extend(before []events.Event, facts ...events.Event) []events.Event {
	return slices.Concat(before, facts)
}

// stocked is a shop with ten lanterns; ordered adds an order that awaits payment;
// bought adds the payment.
var (
	stocked = list(productCreated, stockCounted(10, 0))
	ordered = extend(stocked, orderPlaced, stockReserved, awaitingPayment, paymentRequested)
	bought  = extend(ordered, paymentCaptured(678, false), orderPaid, stockCommitted(2, false))
	// refundedOnce was bought, cancelled and paid back.
	refundedOnce = extend(bought, orderCancelled(events.CancelledByStaff, true), stockReturned, paymentRefunded)
)

func inAnHour() time.Time { return time.Now().Add(time.Hour) }
