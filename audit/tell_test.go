package audit

import (
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

// told tells a story: "INVENTORY:2 1 stock.reserved inventory-on-orders ORDERS:1".
func (s *scene) told(id string) (lines []string) {
	s.t.Helper()
	story, err := Tell(s.t.Context(), Telling{s.JS, shoptest.Codec, s.Streams}, id)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, t := range story {
		event := strings.TrimSuffix(strings.TrimPrefix(t.Type, "lonja."), ".v1")
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

func TestAnOrderIsToldWithItsCauses(t *testing.T) {
	s, dir := newScene(t), t.TempDir()
	for _, svc := range everyService() {
		s.Run(svc, "a", dir)
	}
	listed := s.Do(command.CreateProduct{Product: offers.Product}, staff, nil)
	s.Do(command.CountStock{SKU: "71053", OnHand: 10}, staff, nil)
	id := s.order(2, listed.Position).ID
	s.pay(id, command.Pay)
	shoptest.Await(s.Shop, func(e events.StockCommitted) bool { return e.OrderID == id })
	s.order(1, listed.Position) // another one, of which nothing is told
	story := []string{
		"ORDERS:1 0 order.placed",
		"INVENTORY:2 1 stock.reserved inventory-on-orders ORDERS:1",
		"ORDERS:2 2 order.awaiting_payment orders-on-stock INVENTORY:2",
		"PAYMENTS:1 3 payment.requested payments-on-orders ORDERS:2",
		"PAYMENTS:2 0 payment.captured",
		"ORDERS:3 1 order.paid orders-on-payments PAYMENTS:2",
		"INVENTORY:3 2 stock.committed inventory-on-orders ORDERS:3",
	}
	wantLines(t, s.told(string(id)), story...)
	wantLines(t, s.told(string(events.PaymentFor(id))), story...)
}

func TestAProductIsToldWithItsStockAndItsOrders(t *testing.T) {
	s := newScene(t)
	other := offers
	other.SKU = "71054"
	s.says(other, events.StockCounted{Location: "main", Level: events.Level{SKU: other.SKU, OnHand: 1}})
	s.says(then(ordered, events.ProductArchived{SKU: "71053"})...)
	wantLines(t, s.told("71053"),
		"CATALOG:2 0 product.created", "INVENTORY:2 0 stock.counted", "ORDERS:1 0 order.placed", "INVENTORY:3 0 stock.reserved", "CATALOG:3 0 product.archived")
}

func TestAUserIsToldWithoutSecrets(t *testing.T) {
	s := newScene(t)
	s.says(
		events.UserRegistered{UserID: "usr_ana", Name: "Ana", Email: "ana@example.com", PasswordHash: "SECRET", Roles: []string{"customer"}},
		events.UserRegistered{UserID: "usr_bob", Name: "Bob", Email: "bob@example.com", PasswordHash: "SECRET", Roles: []string{"customer"}},
		events.SessionStarted{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"},
		events.SessionStarted{SessionID: "ses_2", UserID: "usr_bob", TokenHash: "SECRET"},
		events.SessionRotated{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"})
	s.says(then(stocked, places)...)
	wantLines(t, s.told("usr_ana"),
		"IDENTITY:1 0 user.registered", "IDENTITY:3 0 session.started", "IDENTITY:5 0 session.rotated", "ORDERS:1 0 order.placed")
	story, err := Tell(t.Context(), Telling{s.JS, shoptest.Codec, s.Streams}, "usr_ana")
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range story {
		if strings.Contains(string(event.Data)+Summary(event.Event, "usr_ana"), "SECRET") {
			t.Errorf("%s shows a secret", event.Position())
		}
	}
}

// Clocks may disagree; a cause comes first all the same.
func TestACauseIsToldBeforeItsEffect(t *testing.T) {
	s := newScene(t)
	placed := eventlog.NewID()
	data, err := events.Encode(places)
	if err != nil {
		t.Fatal(err)
	}
	header := eventlog.Envelope{ID: placed, Type: events.Type(places), Causation: eventlog.NewID(), Time: inAnHour()}.Header()
	s.publishes(events.Subject(places), string(data), header)
	s.caused(reserves, eventlog.NewID(), eventlog.DeriveID(placed, "inventory-on-orders"))
	wantLines(t, s.told("ord_1"), "ORDERS:1 0 order.placed", "INVENTORY:1 1 stock.reserved inventory-on-orders ORDERS:1")
}

func TestAnIdThatNobodyKnowsIsSaidToBeUnknown(t *testing.T) {
	s := newScene(t)
	s.publishes("events.order.ord_9.placed", "garbage", nats.Header{})
	for _, id := range []string{"ord_1", "ord_9", "71053", "*", "a.b", ""} {
		if story, err := Tell(t.Context(), Telling{s.JS, shoptest.Codec, s.Streams}, id); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: got %v and %v", id, story, err)
		}
	}
}
