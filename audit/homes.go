package audit

import (
	"slices"
	"strings"
	"sync"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/streams"
)

// homes holds the partition of each entity that more than one may have, but for orders and payments,
// of which there may be very many: their events are compared order by order.
type homes struct {
	mu sync.Mutex
	of map[string]string // by the beginning of the subjects of the entity's events
}

// isOneOfMany reports whether there is an entity of a history for each order.
func isOneOfMany(h history) bool { return h == ofOrder || h == ofPayment }

// checkHome checks that an event is on a partition where a count puts its entity, and that all of the
// entity's events are on the same one.
func (m *model) checkHome(r eventlog.Record) {
	base := streams.BaseOf(r.Stream)
	if m.log.Layout[base] == nil {
		return
	}
	may := m.log.Layout.Homes(base, r.Event.EntityID())
	if !slices.Contains(may, r.Stream) {
		m.violateAt(r, Partitions, "is recorded on %s; expected %s", r.Stream, strings.Join(may, " or "))
	}
	if _, ofOrder := r.Event.(events.OfOrder); len(may) == 1 || ofOrder && isOneOfMany(historyOf(stepOf(r.Event))) {
		return
	}
	entity := base + " " + r.Event.EntityID()
	m.homes.mu.Lock()
	was, known := m.homes.of[entity]
	m.homes.of[entity] = r.Stream
	m.homes.mu.Unlock()
	if known && was != r.Stream {
		m.violateAt(r, Partitions, "is recorded on %s, but earlier events are on %s", r.Stream, was)
	}
}
