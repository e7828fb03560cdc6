package orders

import (
	"context"
	"encoding/json"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

func tellTimeline(book *projection.View) func(context.Context, query.OrderTimeline, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.OrderTimeline, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(signedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		var facts []query.TimelineEntry
		err := book.Each(ctx, `SELECT f.stream, f.sequence, f.type, f.time, f.actor, f.event_id, f.causation_id, f.data
			FROM facts f JOIN orders o ON o.id = f.order_id WHERE o.id = ? AND o.customer = ifnull(?, o.customer)
			ORDER BY f.stream, f.sequence`,
			[]any{string(q.OrderID), reader(a)}, func(scan func(...any) error) error {
				var f query.TimelineEntry
				var at string
				var data []byte
				if err := scan(&f.Stream, &f.Sequence, &f.Type, &at, &f.Actor, &f.EventID, &f.CausationID, &data); err != nil {
					return err
				}
				var err error
				f.Time, err = time.Parse(time.RFC3339Nano, at)
				f.Data = json.RawMessage(data)
				facts = append(facts, f)
				return err
			})
		if err == nil && len(facts) == 0 {
			err = noSuchOrder(q.OrderID)
		}
		return inOrder(facts), err
	}
}

// inOrder makes one line of events that come stream by stream. Their times order
// them across streams, and those are by the clocks of several machines: so an event
// counts as no earlier than those before it on its stream, and the order's beginning
// comes first whatever the clocks say.
func inOrder(read []query.TimelineEntry) []query.TimelineEntry {
	latest := map[string]time.Time{} // of each stream, so far
	at := func(e query.TimelineEntry) time.Time {
		if before := latest[e.Stream]; before.After(e.Time) {
			return before
		}
		return e.Time
	}
	began := events.Type(events.OrderPlaced{})
	line := make([]query.TimelineEntry, 0, len(read))
	for e := range eventlog.Merge(read, func(e query.TimelineEntry) string { return e.Stream }, func(a, b query.TimelineEntry) int {
		switch {
		case a.Type == began && b.Type != began:
			return -1
		case b.Type == began && a.Type != began:
			return 1
		}
		return at(a).Compare(at(b))
	}) {
		line, latest[e.Stream] = append(line, e), at(e)
	}
	return line
}

func followStatus(book *projection.View) func(context.Context, query.OrderStatuses, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.OrderStatuses, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(signedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		changes, known := []query.StatusChange{}, false
		err := wait(ctx, book, q.OrderID, q.Await, func() (bool, error) {
			err := book.Each(ctx, `SELECT f.sequence, f.status, f.time FROM facts f JOIN orders o ON o.id = f.order_id
				WHERE o.id = ? AND o.customer = ifnull(?, o.customer) AND f.stream = 'ORDERS' AND f.status <> '' ORDER BY f.sequence`,
				[]any{string(q.OrderID), reader(a)}, func(scan func(...any) error) error {
					var c query.StatusChange
					var at string
					if err := scan(&c.Sequence, &c.Status, &at); err != nil {
						return err
					}
					var err error
					c.Time, err = time.Parse(time.RFC3339Nano, at)
					if known = true; c.Sequence > q.After {
						changes = append(changes, c)
					}
					return err
				})
			return len(changes) > 0, err
		})
		if err == nil && !known {
			err = noSuchOrder(q.OrderID)
		}
		return changes, err
	}
}
