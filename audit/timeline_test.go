package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// timeline returns the lines of a timeline: "INVENTORY:2 1 stock.reserved inventory-on-orders ORDERS:1".
func (s *fixture) timeline(compactID string) (lines []string) {
	s.t.Helper()
	timeline, err := Timeline(s.t.Context(), TimelineConfig{s.JS, shoptest.Codec, s.Streams}, compactID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, t := range timeline {
		event, _, _ := strings.Cut(strings.TrimPrefix(t.Type, "lonja."), ".v")
		lines = append(lines, strings.TrimSpace(fmt.Sprint(t.Position(), " ", t.Depth, " ", event, " ", t.Consumer, " ", t.Cause)))
	}
	return lines
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTimeline_OfAnOrderShowsCauses(t *testing.T) {
	s, dir := newFixture(t), t.TempDir()
	for _, svc := range everyService() {
		s.Run(svc, "a", dir)
	}
	listed := s.Do(command.CreateProduct{Product: productCreated.Product}, staff, nil)
	s.Do(command.CountStock{SKU: "71053", OnHand: 10}, staff, nil)
	compactID := s.order(2, listed.Position).ID
	s.pay(compactID, command.Pay)
	shoptest.Await(s.Shop, func(e events.StockCommitted) bool { return e.OrderID == compactID })
	shoptest.Await(s.Shop, func(e events.ReceiptIssued) bool { return e.OrderID == compactID })
	s.order(1, listed.Position) // another order, which the timeline leaves out
	timeline := []string{
		"ORDERS:1 0 order.placed",
		"INVENTORY:2 1 stock.reserved inventory-on-orders ORDERS:1",
		"ORDERS:2 2 order.awaiting_payment orders-on-stock INVENTORY:2",
		"PAYMENTS:1 3 payment.requested payments-on-orders ORDERS:2",
		"PAYMENTS:2 0 payment.captured",
		"ORDERS:3 1 order.paid orders-on-payments PAYMENTS:2",
		"INVENTORY:3 2 stock.committed inventory-on-orders ORDERS:3",
	}
	for _, id := range []string{string(compactID), string(events.PaymentFor(compactID))} {
		got := s.timeline(id)
		receipt := slices.Index(got, "RECEIPTS:1 2 receipt.issued receipts-on-orders ORDERS:3") // before the stock or after it
		if receipt <= slices.Index(timeline, timeline[5]) {
			t.Fatalf("the receipt is at %d of %q", receipt, got)
		}
		wantLines(t, slices.Delete(got, receipt, receipt+1), timeline...)
	}
}

func TestTimeline_OfAProductIncludesStockAndOrders(t *testing.T) {
	s := newFixture(t)
	other := productCreated
	other.SKU = "71054"
	s.record(other, events.StockCounted{Location: "main", Level: events.Level{SKU: other.SKU, OnHand: 1}})
	s.record(extend(ordered, events.ProductArchived{SKU: "71053"})...)
	wantLines(t, s.timeline("71053"),
		"CATALOG:2 0 product.created", "INVENTORY:2 0 stock.counted", "ORDERS:1 0 order.placed", "INVENTORY:3 0 stock.reserved", "CATALOG:3 0 product.archived")
}

func TestTimeline_OfAUserShowsTheirAddressAndNothingPersonal(t *testing.T) {
	s := newFixture(t)
	s.record(extend(withAna, bobClaimed, bobRegistered,
		events.SessionStarted{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"},
		events.SessionStarted{SessionID: "ses_2", UserID: "usr_bob", TokenHash: "SECRET"},
		events.SessionRotated{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"})...)
	s.record(extend(stocked, orderPlaced, anaErased, anaReleased)...)
	timeline := []string{"IDENTITY:1 0 user.email_claimed", "IDENTITY:2 0 user.registered", "IDENTITY:5 0 session.started",
		"IDENTITY:7 0 session.rotated", "ORDERS:1 0 order.placed", "IDENTITY:8 0 user.erased", "IDENTITY:9 0 user.email_released"}
	wantLines(t, s.timeline("usr_ana"), timeline...)
	wantLines(t, s.timeline("usr_at_ana"), timeline[0], timeline[6])
	s.wantNothingPersonal("usr_ana")
}

// An account of an earlier version is its own address, which somebody else may have today.
func TestTimeline_OfAnAccountInPlainText(t *testing.T) {
	s := newFixture(t)
	s.recordRaw("events.user.usr_old.registered", "lonja.user.registered.v1", oldRegistered)
	s.recordRaw("events.user.usr_old.password_changed", "lonja.user.password_changed.v1", `{"user_id":"usr_old","password_hash":"SECRET"}`)
	s.record(events.UserErased{UserID: "usr_old", EmailID: "usr_old"}, claimed("usr_old", "usr_ana", customer...))
	wantLines(t, s.timeline("usr_old"), "IDENTITY:1 0 user.registered", "IDENTITY:2 0 user.password_changed", "IDENTITY:3 0 user.erased",
		"IDENTITY:4 0 user.email_claimed")
	s.wantNothingPersonal("usr_old")
}

// wantNothingPersonal fails the test if a timeline shows one of the fixture's names, addresses
// or secrets.
func (s *fixture) wantNothingPersonal(id string) {
	s.t.Helper()
	timeline, err := Timeline(s.t.Context(), TimelineConfig{s.JS, shoptest.Codec, s.Streams}, id)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, event := range timeline {
		shown := string(event.Data) + Summary(event.Event, id)
		for _, personal := range []string{"Ana", "Bob", "Bea", "example.com", "SECRET", `"sealed"`} {
			if strings.Contains(shown, personal) {
				s.t.Errorf("%s shows %s: %s", event.Position(), personal, shown)
			}
		}
		if !json.Valid(event.Data) {
			s.t.Errorf("%s has the data %s", event.Position(), event.Data)
		}
	}
}

func TestTimeline_CausePrecedesEffectDespiteClocks(t *testing.T) {
	s := newFixture(t)
	placed := eventlog.NewID()
	data, err := events.Encode(orderPlaced)
	if err != nil {
		t.Fatal(err)
	}
	header := eventlog.Envelope{ID: placed, Type: events.Type(orderPlaced), Causation: eventlog.NewID(), Time: inAnHour()}.Header()
	s.publish(events.Subject(orderPlaced), string(data), header)
	s.recordAs(stockReserved, eventlog.NewID(), eventlog.DeriveID(placed, "inventory-on-orders"))
	wantLines(t, s.timeline("ord_1"), "ORDERS:1 0 order.placed", "INVENTORY:1 1 stock.reserved inventory-on-orders ORDERS:1")
}

func TestTimeline_UnknownID(t *testing.T) {
	s := newFixture(t)
	s.publish("events.order.ord_9.placed", "garbage", nats.Header{})
	for _, compactID := range []string{"ord_1", "ord_9", "71053", "*", "a.b", ""} {
		if timeline, err := Timeline(t.Context(), TimelineConfig{s.JS, shoptest.Codec, s.Streams}, compactID); !errors.Is(err, ErrUnknownID) {
			t.Errorf("%q: got %v and %v", compactID, timeline, err)
		}
	}
}
