package orders

import (
	"context"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// findTimeline reads an order's events from the log. The view only knows where they are: a copy
// would be as large as the log itself, and timelines are seldom asked for.
func findTimeline(ordersView *projection.View) func(context.Context, query.OrderTimeline, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.OrderTimeline, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(loggedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		var positions []eventlog.Place
		err := ordersView.Each(ctx, `SELECT f.stream, f.sequence FROM positions f JOIN placed_orders o ON o.id = f.order_id
			WHERE o.id = ? AND o.customer = ifnull(?, o.customer) ORDER BY f.stream, f.sequence`,
			[]any{orderKey(q.OrderID), readerArg(a)}, func(scan func(...any) error) error {
				var stream int
				var number uint64
				err := scan(&stream, &number)
				positions = append(positions, ordersView.Place(streams[stream], number))
				return err
			})
		if err == nil && len(positions) == 0 {
			err = noSuchOrder(q.OrderID)
		}
		if err != nil {
			return nil, err
		}
		done, err := service.AskLog(ctx)
		if err != nil {
			return nil, err
		}
		defer done()
		recorded, err := ordersView.Events(ctx, positions)
		if err != nil {
			return nil, err
		}
		entries := make([]query.TimelineEntry, len(recorded))
		for i, r := range recorded {
			if entries[i], err = entryOf(r); err != nil {
				return nil, err
			}
		}
		return mergeStreams(entries), nil
	}
}

// entryOf returns an event as the timeline shows it: in its newest version, whichever is
// recorded, since the timeline's readers know no other.
func entryOf(r eventlog.Record) (query.TimelineEntry, error) {
	e := query.TimelineEntry{Stream: r.Stream, Sequence: r.Sequence, Type: events.Type(r.Event), Time: r.Time.UTC(),
		Actor: r.Actor.ID, EventID: r.ID, CausationID: r.Causation, Data: r.Data}
	var err error
	if e.Type != r.Type {
		e.Data, err = events.Encode(r.Event)
	}
	return e, err
}

// mergeStreams merges entries that are sorted stream by stream into one timeline. Times order
// entries of different streams, and they come from the clocks of several machines: so an
// entry counts as no earlier than those before it on its stream, and order.placed comes
// first whatever the clocks show.
func mergeStreams(read []query.TimelineEntry) []query.TimelineEntry {
	latest := map[string]time.Time{} // of each stream, up to now
	at := func(e query.TimelineEntry) time.Time {
		if before := latest[e.Stream]; before.After(e.Time) {
			return before
		}
		return e.Time
	}
	placed := events.Type(events.OrderPlaced{})
	timeline := make([]query.TimelineEntry, 0, len(read))
	for e := range eventlog.Merge(read, func(e query.TimelineEntry) string { return e.Stream }, func(a, b query.TimelineEntry) int {
		switch {
		case a.Type == placed && b.Type != placed:
			return -1
		case b.Type == placed && a.Type != placed:
			return 1
		}
		return at(a).Compare(at(b))
	}) {
		timeline, latest[e.Stream] = append(timeline, e), at(e)
	}
	return timeline
}
