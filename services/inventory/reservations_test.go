package inventory

import (
	"context"
	"log/slog"
	"reflect"
	"testing"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/shop/shoptest"
)

// row is a row of the reservations view.
type row struct {
	status                      int64
	lines                       string
	sequence, reserved, expires int64
}

// reservations opens the view of a shop as another replica would, and follows the log.
func (s store) reservations(dir string) *projection.View {
	s.t.Helper()
	view := projection.New(reservationsDefinition)
	err := view.Open(s.t.Context(), projection.Config{JetStream: s.JS, Log: eventlog.New(s.JS, shoptest.Codec), Dir: dir, Consumer: "inventory-test",
		Logger: slog.New(slog.DiscardHandler), DeadLetter: func(context.Context, eventlog.Record) error { return nil }})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	ran := make(chan error, 1)
	go func() { ran <- view.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			s.t.Error(err)
		}
		if err := view.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return view
}

func (s store) rows(view *projection.View) map[events.OrderID]row {
	s.t.Helper()
	if err := view.CatchUp(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	rows := map[events.OrderID]row{}
	err := view.Each(s.t.Context(), `SELECT id, status, lines, sequence, reserved, expires FROM orders`, nil, func(scan func(...any) error) error {
		var id string
		var r row
		err := scan(&id, &r.status, &r.lines, &r.sequence, &r.reserved, &r.expires)
		rows[events.OrderID(id)] = r
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return rows
}

func TestReservations_HoldEveryOrderOfTheLedger(t *testing.T) {
	shop := store{shoptest.Start(t), t}
	at := due.UnixMicro()
	for _, e := range []events.Event{
		counted("lamp", 50, 0),                                                        // 1
		stockReserved("ord_open", "lamp", 5, "vase", 1),                               // 2
		stockReserved("ord_paid", "lamp", 2),                                          // 3
		stockCommitted("ord_paid", false, "lamp", 2),                                  // 4
		stockReserved("ord_late", "lamp", 1),                                          // 5
		stockReleased("ord_late", events.ReleasedExpired, "lamp", 1),                  // 6
		stockRefused("ord_short"),                                                     // 7
		stockReleased("ord_never", events.ReleasedCancelled),                          // 8
		stockCommitted("ord_back", true, "lamp", 3),                                   // 9
		stockReturned("ord_back", "lamp", 3),                                          // 10
		stockCommitted("ord_part", true, "lamp", 3, "vase", 1),                        // 11
		restocked("ord_part", "ref_1", lines("lamp", 2), lines("lamp", 1, "vase", 1)), // 12
		restocked("ord_part", "ref_2", lines("vase", 1), lines("lamp", 1), "ref_1"),   // 13
	} {
		shop.Record("INVENTORY", e)
	}
	want := map[events.OrderID]row{
		"ord_open":  {1, "lamp:5 vase:1", 2, 2, at},
		"ord_late":  {2, "", 6, 5, at},
		"ord_paid":  {3, "lamp:2", 4, 3, at},
		"ord_short": {4, "", 7, 0, 0},
		"ord_never": {4, "", 8, 0, 0},
		"ord_back":  {4, "", 10, 0, 0},
		"ord_part":  {3, "lamp:1 +ref_1 +ref_2", 13, 0, 0},
	}
	view := shop.reservations(t.TempDir())
	if got := shop.rows(view); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	var plan string
	var skip int
	if _, err := view.Get(t.Context(), `EXPLAIN QUERY PLAN `+unpaid, []any{0, 0, 10},
		&skip, &skip, &skip, &plan); err != nil || plan != "SEARCH orders USING COVERING INDEX due ((expires,reserved)>(?,?))" {
		t.Errorf("what is due is found by %q, %v", plan, err)
	}
}

func TestLines_AreReadAsTheyWereWritten(t *testing.T) {
	for _, want := range []order{{}, {lines: lines("lamp", 1)}, {lines: lines("lamp", 1, "a-B_9", 1_000_000_000)},
		{lines: lines("lamp", 1), restocked: []events.RefundID{"ref_1", "ref_2"}}, {restocked: []events.RefundID{"ref_1"}}} {
		var got order
		if err := parseLines(formatLines(want), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	for _, damaged := range []string{"lamp", "lamp:", "lamp:x", "lamp:1 vase"} {
		var got order
		if err := parseLines(damaged, &got); err == nil {
			t.Errorf("%q is read as %v", damaged, got)
		}
	}
}
