package service_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// measured is the second version of kittest.Added, with the unit of what was added.
type measured struct {
	Counter string `json:"counter"`
	By      int    `json:"by"`
	Unit    string `json:"unit"`
}

func (measured) EventName() string  { return "counter.added.v2" }
func (m measured) EntityID() string { return m.Counter }
func (measured) Check() error       { return nil }

var measuredCodec = eventlog.NewCodec("kittest", measured{}, eventlog.Upcast(func(a kittest.Added) measured {
	return measured{Counter: a.Counter, By: a.By, Unit: "pieces"}
}))

// measuring is the service of the fixture after the event has got its second version. It knows
// only that one: anything else panics.
func (f *fixture) measuring() *service.Service {
	counters := decider.New(decider.EntityType[string]{Subject: "events.counter", Stream: kittest.Stream,
		Evolve: func(units string, e eventlog.Event, _ time.Time) string { return units + " " + e.(measured).Unit }})
	totals := projection.New(projection.Definition{
		Name:   "units",
		Schema: `CREATE TABLE units (counter TEXT NOT NULL, unit TEXT NOT NULL);`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			e := r.Event.(measured)
			return tx.Exec(`INSERT INTO units VALUES (?, ?)`, e.Counter, e.Unit)
		},
	})
	echo := service.React(counters, func(e measured) string {
		if strings.Contains(e.Counter, "-") {
			return ""
		}
		return "echo-" + e.Counter
	}, func(_ string, e measured, m decider.Meta) (eventlog.Event, error) {
		return measured{Counter: m.EntityID, By: e.By, Unit: "echoed " + e.Unit}, nil
	})
	return &service.Service{
		Name:  "counters",
		Views: []*projection.View{totals},
		Commands: []service.Command{
			service.Handle(counters, func(_ string, c add, _ decider.Meta) (eventlog.Event, error) {
				return measured{Counter: c.Counter, By: c.By, Unit: "litres"}, nil
			}).Reply(func(units string, _ eventlog.Event) any { return units }),
		},
		Reactions: []service.Reaction{{Consumer: "counters-echo", Handlers: []service.Handler{echo}}},
		Queries: []service.Query{service.Answer(totals, func(ctx context.Context, q total, _ eventlog.Actor) (any, error) {
			var units string
			_, err := totals.Get(ctx, `SELECT ifnull(group_concat(unit, ', '), '') FROM units WHERE counter = ?`, []any{q.Counter}, &units)
			return units, err
		})},
	}
}

// An event of an older version, and one of the newest: state, view and reaction see the newest
// version of both.
func TestUpcast_NothingButTheNewestVersionIsSeen(t *testing.T) {
	f := newFixture(t)
	f.codec = measuredCodec
	f.log.Add("c", 2) // version 1
	f.run(f.measuring())
	reply, err := f.Send(t.Context(), add{"c", 3}, eventlog.Envelope{})
	if err != nil || string(reply.Body) != `" pieces litres"` {
		t.Errorf("the state is %s, %v", reply.Body, err)
	}
	f.awaitAnswer("c", "pieces, litres")
	f.awaitAnswer("echo-c", "echoed pieces, echoed litres")
	f.awaitDeadLetters(0)
}
