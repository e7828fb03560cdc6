package shop_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/services/identity"
	"lonja/shop"
	"lonja/shop/shoptest"
)

// invalid has one of each command, which fails its Check.
var invalid = []command.Command{
	command.CreateProduct{Product: events.Product{SKU: "LAMP", Name: " ", Price: events.Money{Amount: 1, Currency: "GBP"}}},
	command.ChangeProduct{SKU: "LAMP", Name: new(string), Available: new(bool)},
	command.ArchiveProduct{SKU: "a.b"},
	command.CountStock{SKU: "LAMP", OnHand: -1},
	command.AdjustStock{SKU: "LAMP", Delta: 1, Reason: strings.Repeat("x", 201)},
	command.PlaceOrder{Items: []command.OrderLine{{SKU: "LAMP", Quantity: 1}, {SKU: "LAMP"}}},
	command.CancelOrder{OrderID: "*"},
	command.ShipOrder{OrderID: ""},
	command.DeliverOrder{OrderID: ">"},
	command.RefundOrder{OrderID: "ord_1", Lines: []command.ReturnedLine{{SKU: "LAMP", Quantity: 1}, {SKU: "LAMP"}}},
	command.RetryRefund{OrderID: "ord_1", RefundID: "*"},
	command.SettlePayment{PaymentID: "pay_1", Outcome: "steal"},
	command.RetryPayment{PaymentID: "pay_1", Provider: strings.Repeat("x", 51)},
	command.ReportPayment{Provider: "stripe", Outcome: "steal", PaymentID: "pay_1", Report: "evt_1"},
	command.RegisterUser{Name: "Ana", Email: "ana@example.com", Password: "short"},
	command.LogIn{Email: "ana@example.com"},
	command.RefreshSession{},
	command.LogOut{RefreshToken: strings.Repeat("x", 501)},
	command.SetRoles{UserID: "usr_1", Roles: []string{"king"}},
	command.ResetPassword{Password: "short"},
	command.ChangeProfile{UserID: "usr_1"},
	command.ChangeEmail{UserID: "usr_1", Email: "ana"},
	command.EraseUser{UserID: "*"},
	command.SealUser{},
}

// An identity that may send commands can send any JSON, so the service checks a command as
// Client.Send does.
func TestCommands_AreCheckedByTheServiceAndTheClient(t *testing.T) {
	services := shop.All(shop.Config{Identity: identity.Config{AdminPassword: "correct horse battery"}})
	s := shoptest.Start(t, services...)
	before := recorded(t, s)
	for _, c := range invalid {
		_, err := s.Send(t.Context(), c, eventlog.Envelope{})
		inClient, coded := errs.As(err)
		if !coded || inClient.Code != errs.Invalid || inClient.Field == "" {
			t.Errorf("%s was sent, or rejected with %v", c.CommandName(), err)
			continue
		}
		body, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.Conn.Request(command.Subject(c), body, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var inService errs.Error
		if err := json.Unmarshal(m.Data, &inService); err != nil || inService != *inClient {
			t.Errorf("%s: the service answers %s, the client %+v", c.CommandName(), m.Data, inClient)
		}
	}
	if after := recorded(t, s); after != before {
		t.Errorf("there are %d events, and were %d before", after, before)
	}
	cannotBeWrong := command.Subject(command.RotateKey{}) // it has no fields
	for _, service := range services {
		for _, subject := range service.Permissions(s.Streams).Subscribe {
			if strings.HasPrefix(subject, "commands.") && subject != cannotBeWrong && !slices.ContainsFunc(invalid, func(c command.Command) bool { return command.Subject(c) == subject }) {
				t.Errorf("this test has no command on %s", subject)
			}
		}
	}
}

// A command that is not sent costs the service nothing, and is answered when that is down.
func TestCommands_InvalidOnesAreNotSent(t *testing.T) {
	s := shoptest.Start(t)
	received, err := s.Conn.SubscribeSync("commands.>")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range invalid {
		if _, err := s.Send(ctx, c, eventlog.Envelope{}); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", c.CommandName(), err)
		}
	}
	if err := s.Conn.Publish("commands.end", nil); err != nil {
		t.Fatal(err)
	}
	if m, err := received.NextMsg(10 * time.Second); err != nil || m.Subject != "commands.end" {
		t.Errorf("received %v, %v", m, err)
	}
}

// recorded returns the number of events on all streams.
func recorded(t *testing.T, s *shoptest.Shop) (n uint64) {
	t.Helper()
	for _, declared := range s.Streams.Streams {
		if !slices.ContainsFunc(declared.Subjects, func(subject string) bool { return strings.HasPrefix(subject, "events.") }) {
			continue
		}
		stream, err := s.JS.Stream(t.Context(), declared.Name)
		if err != nil {
			t.Fatal(err)
		}
		n += stream.CachedInfo().State.LastSeq
	}
	return n
}
