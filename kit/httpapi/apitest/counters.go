package apitest

import (
	"context"
	"time"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Add adds By to a counter. The service rejects 100, and panics at 0.
type Add struct {
	Counter string `json:"counter"`
	By      int    `json:"by"`
}

// CommandName implements bus.Command.
func (Add) CommandName() string { return "counters.add" }

// EntityID implements bus.Command.
func (a Add) EntityID() string { return a.Counter }

// Check implements bus.Command.
func (a Add) Check() error { return nil }

// Total is the query for a counter's total.
type Total struct {
	Counter string `json:"counter"`
}

// QueryName implements httpapi.Query.
func (Total) QueryName() string { return "counters.total" }

// Additions is the query for the additions to a counter after a sequence.
type Additions struct {
	Counter string `json:"counter"`
	After   uint64 `json:"after,omitempty"`
}

// QueryName implements httpapi.Query.
func (Additions) QueryName() string { return "counters.additions" }

// Addition is an element of the answer to Additions.
type Addition struct {
	Sequence uint64 `json:"sequence"`
	By       int    `json:"by"`
}

// Counters returns a service that counts, and announces which counters have changed.
func Counters() *service.Service {
	counters := decider.New(decider.EntityType[int]{Subject: "events.counter", Stream: kittest.Stream,
		Evolve: func(n int, e eventlog.Event, _ time.Time) int { return n + e.(kittest.Added).By }})
	additions := projection.New(projection.Definition{
		Name:   "additions",
		Schema: `CREATE TABLE additions (counter TEXT NOT NULL, sequence INTEGER NOT NULL, added INTEGER NOT NULL, PRIMARY KEY (counter, sequence));`,
		Reads:  []projection.Source{{Stream: kittest.Stream, Subjects: []string{"events.counter.>"}}},
		Project: func(tx *projection.Tx, r eventlog.Record) error {
			e := r.Event.(kittest.Added)
			tx.MarkChanged(e.Counter)
			return tx.Exec(`INSERT INTO additions VALUES (?, ?, ?)`, e.Counter, r.Sequence, e.By)
		},
	})
	return &service.Service{
		Name: "counters", Views: []*projection.View{additions}, ChangeNotifications: []*projection.View{additions},
		Commands: []service.Command{service.Handle(counters, add).Reply(func(n int, _ eventlog.Event) any { return n })},
		Queries:  []service.Query{service.Answer(additions, totalOf(additions)), service.Answer(additions, additionsOf(additions))},
	}
}

func add(_ int, c Add, _ decider.Meta) (eventlog.Event, error) {
	switch c.By {
	case 0:
		panic("zero")
	case 100:
		return nil, errs.InvalidField("by", "must not be 100")
	}
	return kittest.Added{Counter: c.Counter, By: c.By}, nil
}

func totalOf(additions *projection.View) func(context.Context, Total, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q Total, _ eventlog.Actor) (any, error) {
		var n int
		_, err := additions.Get(ctx, `SELECT ifnull(sum(added), 0) FROM additions WHERE counter = ?`, []any{q.Counter}, &n)
		return n, err
	}
}

func additionsOf(additions *projection.View) func(context.Context, Additions, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q Additions, _ eventlog.Actor) (any, error) {
		all := []Addition{}
		err := additions.Each(ctx, `SELECT sequence, added FROM additions WHERE counter = ? AND sequence > ? ORDER BY sequence`,
			[]any{q.Counter, q.After}, func(scan func(...any) error) error {
				var a Addition
				err := scan(&a.Sequence, &a.By)
				all = append(all, a)
				return err
			})
		return all, err
	}
}
